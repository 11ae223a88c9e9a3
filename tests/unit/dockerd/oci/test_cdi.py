import json
from pathlib import Path
from typing import Any

import pytest

from protos import errdefs
from services.dockerd.oci import cdi


def describe(directory: Path, name: str, *devices: dict[str, Any], **more: Any) -> None:
    directory.mkdir(exist_ok=True)
    document = {"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": list(devices)} | more
    (directory / name).write_text(json.dumps(document))


def device(name: str, **edits: Any) -> dict[str, Any]:
    return {"name": name, "containerEdits": edits}


def plain() -> dict[str, Any]:
    return {
        "process": {"env": ["A=1", "B=2"], "user": {"uid": 7, "gid": 0, "additionalGids": [0]}},
        "mounts": [{"destination": "/a/b", "type": "tmpfs"}, {"destination": "/x", "type": "tmpfs"}],
        "linux": {"devices": [], "resources": {"devices": [{"allow": False}]}},
    }


def inject(directory: Path, *names: str) -> dict[str, Any]:
    before = plain()
    made = cdi.inject(before, [f"v.com/c={name}" for name in names], [str(directory)])
    assert before == plain()
    return made


def test_common_edits_come_once_and_first(tmp_path: Path) -> None:
    describe(tmp_path, "a.json", device("x", env=["A=x"]), device("y", env=["C=y"]), containerEdits={"env": ["A=c"]})
    assert inject(tmp_path, "x", "y")["process"]["env"] == ["B=2", "A=x", "C=y"]


def test_node_is_the_hosts_unless_described(tmp_path: Path) -> None:
    described = {"path": "/dev/d", "type": "c", "major": 5, "minor": 6, "permissions": "r", "uid": 0}
    describe(tmp_path, "a.json", device("x", deviceNodes=[{"path": "/dev/n", "hostPath": "/dev/null"}, described]))
    linux = inject(tmp_path, "x")["linux"]
    found, given = linux["devices"]
    assert (found["path"], found["type"], found["major"], found["minor"], found["uid"]) == ("/dev/n", "c", 1, 3, 7)
    assert (given["major"], given["minor"], given["uid"]) == (5, 6, 0)
    assert linux["resources"]["devices"][1:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": True, "type": "c", "major": 5, "minor": 6, "access": "r"},
    ]


def test_missing_node_is_refused(tmp_path: Path) -> None:
    describe(tmp_path, "a.json", device("x", deviceNodes=[{"path": "/dev/nothing-there"}]))
    with pytest.raises(errdefs.InvalidArgument, match="failed to stat CDI host device /dev/nothing-there"):
        inject(tmp_path, "x")


def test_mounts_replace_and_stay_in_order(tmp_path: Path) -> None:
    describe(tmp_path, "a.json", device("x", mounts=[{"hostPath": "/h", "containerPath": "/x"}]))
    mounts = inject(tmp_path, "x")["mounts"]
    assert [each["destination"] for each in mounts] == ["/x", "/a/b"]
    assert mounts[0] == {"destination": "/x", "type": "bind", "source": "/h", "options": ["rbind", "rprivate"]}


def test_hooks_and_groups_are_added(tmp_path: Path) -> None:
    hook = {"hookName": "prestart", "path": "/h", "args": ["h"], "timeout": 3}
    describe(tmp_path, "a.json", device("x", hooks=[hook, hook], additionalGids=[0, 5, 5]), cdiVersion="0.7.0")
    made = inject(tmp_path, "x")
    assert made["hooks"] == {"prestart": [{"path": "/h", "args": ["h"], "timeout": 3}] * 2}
    assert made["process"]["user"]["additionalGids"] == [0, 5]


def test_later_directory_wins_and_a_conflict_is_nobodys(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    describe(old, "a.json", device("x", env=["A=old"]), device("y"))
    describe(new, "a.json", device("x", env=["A=new"]), device("y"))
    describe(new, "b.json", device("y"))
    found, problems = cdi.discover([str(old), str(new), str(tmp_path / "none")])
    assert found["v.com/c=x"].edits == {"env": ["A=new"]} and "v.com/c=y" not in found
    assert problems == [f"conflicting device v.com/c=y in {new}"]


@pytest.mark.parametrize("text", ["{", "[]", '{"cdiVersion": "9.0", "kind": "a/b", "devices": []}',
                                  '{"cdiVersion": "0.6.0", "kind": "a", "devices": []}', '{"cdiVersion": "0.6.0"}'])
def test_bad_file_is_left_out_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    describe(tmp_path, "good.json", device("x"))
    assert inject(tmp_path, "x")
    with pytest.raises(errdefs.InvalidArgument, match=r"unresolvable CDI devices v\.com/c=z \(.*bad\.json: "):
        inject(tmp_path, "z")


def test_yaml_is_read(tmp_path: Path) -> None:
    text = "cdiVersion: 0.5.0\nkind: v.com/c\ndevices:\n- name: '0'\n  containerEdits:\n    env: [A=yaml]\n"
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yml").write_text("a: [")
    assert "A=yaml" in inject(tmp_path, "0")["process"]["env"]

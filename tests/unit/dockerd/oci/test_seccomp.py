import json
from pathlib import Path
from typing import Any

import pytest

from protos import errdefs
from services.dockerd.oci import seccomp
from services.dockerd.oci.defaults import CAPABILITIES


def allowed(rules: dict[str, Any]) -> set[str]:
    return {name for rule in rules["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def plain() -> dict[str, Any]:
    return seccomp.evaluate("", tuple(sorted(CAPABILITIES)))


def test_default_profile_denies() -> None:
    rules = plain()
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO" and rules["defaultErrnoRet"] == 1
    assert not {"mount", "bpf", "keyctl", "io_uring_setup", "unshare", "init_module", "reboot"} & allowed(rules)
    assert {"read", "chroot", "ptrace"} <= allowed(rules)


def test_sockets_are_filtered_by_family() -> None:
    families = [rule["args"][0] for rule in plain()["syscalls"] if rule["names"] == ["socket"]]
    assert [(each["op"], each["value"]) for each in families] == [
        ("SCMP_CMP_LT", 38),
        ("SCMP_CMP_EQ", 39),
        ("SCMP_CMP_GT", 40),
    ]  # neither AF_ALG nor AF_VSOCK


def test_capabilities_open_calls() -> None:
    rules = seccomp.evaluate("", ("CAP_SYS_ADMIN", "CAP_SYS_BOOT"))
    assert {"mount", "bpf", "reboot", "clone3"} <= allowed(rules)
    assert not any(rule.get("errnoRet") == 38 for rule in rules["syscalls"])


def test_clone3_says_not_implemented() -> None:
    rule = next(rule for rule in plain()["syscalls"] if rule["names"] == ["clone3"])
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_evaluation_is_cached() -> None:
    assert plain() is plain()


def test_choice_follows_docker() -> None:
    assert seccomp.choose("unconfined", "", (), privileged=False) is None
    assert seccomp.choose("", "unconfined", (), privileged=False) is None
    assert seccomp.choose("", "", (), privileged=True) is None
    assert seccomp.choose("builtin", "unconfined", (), privileged=False) == seccomp.evaluate("", ())
    own = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})
    for privileged in (True, False):
        assert seccomp.choose(own, "", (), privileged=privileged) == {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}


def test_conditions_of_own_profile_hold() -> None:
    calls = [
        {"name": "a", "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_KILL"]}},
        {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["vax"]}},
        {
            "names": ["d"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 5,
            "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
        },
    ]
    rules = seccomp.evaluate(json.dumps({"defaultAction": "SCMP_ACT_KILL", "syscalls": calls}), ("CAP_KILL",))
    assert [rule["names"] for rule in rules["syscalls"]] == [["d"]] and rules["syscalls"][0]["errnoRet"] == 5


def test_daemons_profile_is_read(tmp_path: Path) -> None:
    assert [seccomp.read(name) for name in ("", "builtin", "unconfined")] == ["", "builtin", "unconfined"]
    (tmp_path / "own").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert seccomp.read(str(tmp_path / "own")) == '{"defaultAction": "SCMP_ACT_ALLOW"}'
    (tmp_path / "bad").write_text("{")
    with pytest.raises(errdefs.InvalidArgument, match=r"seccomp profile \(.*/bad\): Decoding seccomp profile failed"):
        seccomp.read(str(tmp_path / "bad"))
    with pytest.raises(errdefs.InvalidArgument, match=r"opening .* \(/no/such\) failed: open /no/such: no such file"):
        seccomp.read("/no/such")


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ("{", "Decoding seccomp profile failed"),
        ('{"syscalls":["a"]}', "Decoding seccomp profile failed"),
        ("[]", "Decoding seccomp profile failed"),
        ('{"architectures":["A"],"archMap":[{"architecture":"A"}]}', "'architectures' and 'archMap'"),
        ('{"syscalls":[{"name":"a","names":["b"]}]}', "'name' and 'names'"),
        ('{"syscalls":[{"name":"a","includes":{"minKernel":"new"}}]}', "invalid kernel version"),
    ],
)
def test_bad_profile_is_refused(profile: str, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        seccomp.evaluate(profile, ())

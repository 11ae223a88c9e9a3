import os
import subprocess
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.runtime.bundle import Bundle, Exit, Identity, Server


def bundle(state: Path, spec: bytes = b"{}") -> Bundle:
    return Bundle.create(state, "moby", "box", spec)


def test_bundle_has_what_a_shim_expects(tmp_path: Path) -> None:
    made = bundle(tmp_path, b'{"a": 1}')
    assert made.path == tmp_path / "io.containerd.runtime.v2.task/moby/box"
    assert (made.path / "config.json").read_bytes() == b'{"a": 1}'
    assert (made.path / "rootfs").is_dir()
    assert (made.path / "log").is_fifo()
    assert made.path.stat().st_mode & 0o777 == 0o700


def test_new_bundle_replaces_an_old_one(tmp_path: Path) -> None:
    bundle(tmp_path).save_exit(Exit(1, 2, 3))
    assert bundle(tmp_path).exit() is None


def test_user_namespace_lets_its_root_through(tmp_path: Path) -> None:
    spec = b'{"linux": {"gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}}'
    made = bundle(tmp_path, spec)
    assert (made.path.stat().st_gid, made.path.stat().st_mode & 0o777) == (100000, 0o710)


def test_records_are_read_back(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    server = Server("/bin/shim", "unix:///s", Identity.of(os.getpid()))
    made.save(server)
    made.save_exit(Exit(7, 137, 5))
    (made.path / "init.pid").write_text("7")
    assert (made.server(), made.exit(), made.init_pid()) == (server, Exit(7, 137, 5), 7)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"program": 1}'])
def test_damaged_records_are_as_none(tmp_path: Path, damage: bytes) -> None:
    made = bundle(tmp_path)
    for name in ("shim.json", "exit.json", "init.pid", "config.json"):
        (made.path / name).write_bytes(damage)
    with pytest.raises(errdefs.NotFound):
        made.server()
    assert (made.exit(), made.init_pid(), made.cgroups_path()) == (None, 0, "")


def test_all_bundles_are_found_and_rests_swept(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    rest = made.path.with_name(".other.1234")
    rest.mkdir()
    assert list(Bundle.all(tmp_path)) == [made]
    assert not rest.exists()
    made.remove()
    made.remove()
    assert list(Bundle.all(tmp_path)) == []


def test_identity_is_one_process_alone() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        identity = Identity.of(process.pid)
        assert identity.lives()
        assert not Identity(identity.pid, identity.started + 1, identity.boot).lives()
        assert not Identity(identity.pid, identity.started, "another").lives()
        process.kill()
    assert not identity.lives()
    assert not Identity().lives()

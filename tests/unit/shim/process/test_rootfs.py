import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.shim import linux
from services.shim.process.rootfs import Mount, compact, parse, plan
from services.shim.reaper import Reaper
from tests.unit.shim.conftest import Run

root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def test_flags_and_data_are_told_apart() -> None:
    options = ["ro", "nosuid", "lowerdir=/a:/b", "index=off", "exec", "noexec"]
    assert parse(options) == (
        linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NOEXEC, ["lowerdir=/a:/b", "index=off"],
    )


def test_later_option_wins() -> None:
    assert parse(["ro", "rw", "rbind"]) == (linux.MS_BIND | linux.MS_REC, [])


def test_long_overlays_become_relative() -> None:
    assert compact(["lowerdir=/x/snap/1/fs:/x/snap/2/fs", "upperdir=/x/snap/3/fs"]) == (
        "/x/snap", ["lowerdir=1/fs:2/fs", "upperdir=/x/snap/3/fs"],
    )


def test_single_layer_stays_as_it_is() -> None:
    assert compact(["lowerdir=/x"]) == (None, ["lowerdir=/x"])


def in_child(run: Run, reaper: Reaper, body: Callable[[], None]) -> int:
    async def status() -> int:
        return (await reaper.fork(body).exit).status

    return int(run(status()))


def overlay(tmp_path: Path, layers: int, name: str) -> Mount:
    for number in range(layers):
        (tmp_path / name / str(number)).mkdir(parents=True)
        (tmp_path / name / str(number) / f"file{number}").touch()
    for each in ("upper", "work", "rootfs"):
        (tmp_path / each).mkdir(exist_ok=True)
    lower = ":".join(str(tmp_path / name / str(number)) for number in range(layers))
    options = (f"lowerdir={lower}", f"upperdir={tmp_path}/upper", f"workdir={tmp_path}/work")
    return Mount("overlay", "overlay", "", options)


@root
def test_mounts_stay_in_the_child(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    mounts, rootfs = [overlay(tmp_path, 2, "layers")], tmp_path / "rootfs"

    def body() -> None:
        plan(mounts, rootfs).apply()
        assert {each.name for each in rootfs.iterdir()} == {"file0", "file1"}

    assert in_child(run, reaper, body) == 0
    assert list(rootfs.iterdir()) == []


@root
def test_many_layers_fit_in_a_page(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    mount, rootfs = overlay(tmp_path, 60, "layer" * 20), tmp_path / "rootfs"
    assert len(",".join(mount.options)) > 4096

    def body() -> None:
        before = Path.cwd()
        plan([mount], rootfs).apply()
        assert len(list(rootfs.iterdir())) == 60
        assert Path.cwd() == before

    assert in_child(run, reaper, body) == 0


@root
def test_bind_mount_may_be_read_only(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "rootfs").mkdir()

    def body() -> None:
        plan([Mount("bind", str(tmp_path / "source"), "", ("rbind", "ro"))], tmp_path / "rootfs").apply()
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "rootfs" / "file").touch()

    assert in_child(run, reaper, body) == 0


def shares(point: str) -> list[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == point:
            return [each for each in fields[6:] if each.startswith("shared:")]
    return []


@root
def test_shared_mount_keeps_its_peers_and_sees_nothing(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    """A host of ours: a namespace where the bundle lies on a shared mount."""

    def host() -> None:
        linux.unshare(linux.CLONE_NEWNS)
        base = tmp_path / "base"
        base.mkdir()
        linux.mount("", "/", "", linux.MS_PRIVATE | linux.MS_REC)
        linux.mount("tmpfs", str(base), "tmpfs", 0)
        linux.mount("", str(base), "", 1 << 20)  # MS_SHARED
        mounts, rootfs = [overlay(base, 1, "layers")], base / "rootfs"
        group = shares(str(base))
        pid = os.fork()
        if pid == 0:
            plan(mounts, rootfs).apply()
            made = [each.name for each in rootfs.iterdir()] == ["file0"]
            (base / "later").mkdir()
            linux.mount("tmpfs", str(base / "later"), "tmpfs", 0)  # as an rshared volume would
            os._exit(0 if made and shares(str(base)) == group else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert list(rootfs.iterdir()) == []
        assert os.path.ismount(base / "later")

    assert in_child(run, reaper, host) == 0


@root
def test_failed_mount_names_itself(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()

    def body() -> None:
        text = "failed to mount rootfs component overlay overlay with lowerdir=/no: No such"
        with pytest.raises(OSError, match=text):
            plan([Mount("overlay", "overlay", "", ("lowerdir=/no",))], tmp_path / "rootfs").apply()

    assert in_child(run, reaper, body) == 0

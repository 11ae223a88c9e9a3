from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import cgroups
from services.dockerd.config import Config

SYSTEMD, CGROUPFS = "native.cgroupdriver=systemd", "native.cgroupdriver=cgroupfs"


def test_first_driver_counts() -> None:
    assert not cgroups.by_systemd(Config(exec_opts=(CGROUPFS, SYSTEMD)))
    assert cgroups.by_systemd(Config(exec_opts=(SYSTEMD, CGROUPFS)))
    assert cgroups.by_systemd(Config(exec_opts=("native.umask=normal", SYSTEMD)))


def test_systemd_wants_slices() -> None:
    cgroups.check(Config(exec_opts=(SYSTEMD,), cgroup_parent="own.slice"))
    cgroups.check(Config(exec_opts=(CGROUPFS,), cgroup_parent="/own"))
    for parent in ("/own", ".slice", "own"):
        with pytest.raises(InvalidArgument, match="should be a valid slice"):
            cgroups.check(Config(exec_opts=(SYSTEMD,), cgroup_parent=parent))


def test_empty_parent_is_removed_everywhere(tmp_path: Path) -> None:
    for hierarchy in ("cpu", "memory"):
        (tmp_path / hierarchy / "docker").mkdir(parents=True)
    (tmp_path / "pids" / "docker" / "container").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    cgroups.remove_parent(tmp_path)
    assert {path.name for path in tmp_path.rglob("docker")} == {"docker"}
    assert (tmp_path / "pids" / "docker" / "container").is_dir()
    assert not (tmp_path / "cpu" / "docker").exists() and not (tmp_path / "memory" / "docker").exists()

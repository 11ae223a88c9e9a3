"""Project quotas on a loop device. What the kernel at hand does not have is skipped: many have no quotas of XFS."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.beneath import closing
from services.dockerd.volumes import quota

MKFS = shutil.which("mkfs.xfs", path="/usr/sbin:/sbin:/usr/bin")


def mounted(directory: Path, options: str) -> Path:
    """A fresh XFS; skips where it cannot be."""
    if not MKFS or os.geteuid() != 0:
        pytest.skip("needs mkfs.xfs (apt-get install xfsprogs) and root")
    disk, place = directory / "disk", directory / "xfs"
    with disk.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run([MKFS, "-q", disk], check=True)
    place.mkdir()
    done = subprocess.run(["mount", "-o", f"loop,{options}", disk, place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this kernel does not mount XFS with {options}: {done.stderr.strip()}")
    return place


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    place = mounted(tmp_path, "noatime")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Path]:
    place = mounted(tmp_path, "pquota")
    yield place
    subprocess.run(["umount", place], check=True)


def data(root: Path, name: str) -> Path:
    path = root / name / "_data"
    path.mkdir(parents=True)
    return path


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_no_size_is_no_limit(tmp_path: Path) -> None:
    quota.limit(tmp_path, tmp_path / "nowhere", 0)


def test_file_system_without_quotas_is_refused(plain: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="quota size requested but no quota support"):
        quota.limit(plain, data(plain, "v1"), 1 << 20)
    with closing(opened(plain)) as fd:
        assert not quota.enforced(fd)


def test_project_is_inherited(plain: Path) -> None:
    path = data(plain, "v1")
    with closing(opened(path)) as fd:
        quota.set_project(fd, 77)
        assert quota.project_of(fd) == 77
    (path / "sub").mkdir()
    with closing(opened(path / "sub")) as fd:
        assert quota.project_of(fd) == 77


def test_each_volume_has_its_limit(limited: Path) -> None:
    first, second = data(limited, "v1"), data(limited, "v2")
    quota.limit(limited, first, 2 << 20)
    quota.limit(limited, second, 4 << 20)
    with closing(opened(first)) as one, closing(opened(second)) as two:
        assert 0 < quota.project_of(one) < quota.project_of(two)
    (first / "fits").write_bytes(bytes(1 << 20))
    with pytest.raises(OSError, match=r"No space left|quota exceeded"), (first / "more").open("wb") as file:
        file.write(bytes(3 << 20))
        os.fsync(file.fileno())
    (second / "fits").write_bytes(bytes(3 << 20))

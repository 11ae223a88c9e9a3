import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd import beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("inside")
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../../etc")
    (tmp_path / "loop").symlink_to("loop")
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_absolute_link_stays_inside(root: int) -> None:
    assert beneath.resolve(root, "/var/run/x/y") == "/run/x/y"
    with beneath.closing(beneath.open_in(root, "/var/run", os.O_PATH)) as fd:
        assert os.path.samestat(os.fstat(fd), os.stat("run", dir_fd=root))


def test_dots_stop_at_root(root: int) -> None:
    assert beneath.resolve(root, "/../../up/passwd") == "/etc/passwd"
    assert beneath.read(root, "/up/passwd", 100) == b"inside"


def test_loop_of_links_ends(root: int) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        beneath.resolve(root, "/loop/x")


def test_missing_file_is_none(root: int) -> None:
    assert beneath.read(root, "/etc/shadow", 100) is None
    assert beneath.read(root, "/etc/passwd/x", 100) is None


def test_pipe_is_refused_unopened(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "etc/group")
    with pytest.raises(errdefs.InvalidArgument, match="not a regular file"):
        beneath.read(root, "/etc/group", 100)


def test_large_file_is_refused(root: int, tmp_path: Path) -> None:
    with (tmp_path / "etc/group").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(errdefs.InvalidArgument, match="larger than 100"):
        beneath.read(root, "/etc/group", 100)


def test_magic_links_are_refused(root: int, tmp_path: Path) -> None:
    (tmp_path / "magic").symlink_to("/proc/self/root/etc")
    (tmp_path / "proc").mkdir()
    assert beneath.read(root, "/magic/passwd", 100) is None  # /proc is the root's own, and empty


def test_directories_are_made_inside(root: int, tmp_path: Path) -> None:
    os.close(beneath.make_directories(root, "/var/run/a/b"))
    assert (tmp_path / "run/a/b").is_dir()

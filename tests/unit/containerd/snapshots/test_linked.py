"""What overlayfs would show, made of hard links."""

import os
import stat
from pathlib import Path

import pytest

from services.containerd.snapshots.linked import merge

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts need root")


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = tmp_path / "lower", tmp_path / "upper", tmp_path / "target"
    for path in made:
        path.mkdir()
    return made


def test_files_are_shared_and_the_upper_wins(trees: tuple[Path, Path, Path]) -> None:
    lower, upper, target = trees
    for path, text in ((lower / "a", "1"), (lower / "b", "1"), (upper / "b", "2"), (upper / "c", "2")):
        path.write_text(text)
    merge(lower, upper, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "1", "b": "2", "c": "2"}
    assert (target / "a").samefile(lower / "a") and (target / "b").samefile(upper / "b")


def test_whiteouts_and_opaque_directories_hide(trees: tuple[Path, Path, Path]) -> None:
    lower, upper, target = trees
    for path in (lower / "gone", lower / "d/old", lower / "e/kept", lower / "x/y/z", upper / "d/new", upper / "e/more"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    os.mknod(upper / "x", stat.S_IFCHR, 0)
    os.setxattr(upper / "d", "trusted.overlay.opaque", b"y")
    merge(lower, upper, target)
    found = {str(path.relative_to(target)) for path in target.rglob("*")}
    assert found == {"d", "d/new", "e", "e/kept", "e/more"}


def test_kinds_may_change(trees: tuple[Path, Path, Path]) -> None:
    lower, upper, target = trees
    (lower / "file").touch()
    (lower / "directory").mkdir()
    (upper / "file").mkdir(mode=0o710)
    (upper / "directory").symlink_to("file")
    merge(lower, upper, target)
    assert stat.S_IMODE((target / "file").stat().st_mode) == 0o710
    assert (target / "directory").readlink() == Path("file")

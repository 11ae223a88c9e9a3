import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import trees
from services.containerd.snapshots.copying import copy_tree
from services.containerd.snapshots.linked import merge

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices are root's to make")
DEEP = "d/" * 1500


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A tree deeper than Python recurses, with files of many names, owners and holes."""
    top = tmp_path / "source"
    subprocess.run(["mkdir", "-p", str(top / DEEP)], check=True)
    (top / DEEP / "file").write_text("deep")
    os.link(top / DEEP / "file", top / "twin")
    os.chown(top / DEEP, 7, 8)
    (top / DEEP).chmod(0o1751)
    (top / "link").symlink_to("twin")
    os.setxattr(top / "twin", "trusted.x", b"1")
    os.utime(top / DEEP, (5, 6))
    yield top
    for each in tmp_path.iterdir():
        trees.remove(each)  # which pytest cannot


def same(top: Path) -> None:
    facts = (top / DEEP).stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777, facts.st_mtime) == (7, 8, 0o1751, 6)
    assert (top / DEEP / "file").read_text() == "deep" and (top / "twin").samefile(top / DEEP / "file")
    assert os.getxattr(top / "twin", "trusted.x") == b"1" and (top / "link").readlink() == Path("twin")


def test_copy_is_faithful_at_any_depth(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    copy_tree(source, target)
    same(target)
    assert not (target / "twin").samefile(source / "twin")


def test_merged_trees_may_be_deep(source: Path, tmp_path: Path) -> None:
    upper, target = tmp_path / "upper", tmp_path / "target"
    upper.mkdir()
    target.mkdir()
    merge(source, upper, target)
    same(target)
    assert (target / "twin").samefile(source / "twin")

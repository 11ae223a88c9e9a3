import os
import stat
from pathlib import Path

import pytest

from services.dockerd.archive import changes
from services.dockerd.archive.changes import Kind
from services.dockerd.beneath import closing


def held(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY)


def fill(root: Path) -> Path:
    (root / "same/deep").mkdir(parents=True)
    for name in ("same/deep/file", "changed", "gone", "moded"):
        (root / name).write_text("old")
        os.utime(root / name, (1, 1))
    for name in ("same/deep", "same"):
        os.utime(root / name, (1, 1))
    return root


def test_trees_are_compared(tmp_path: Path) -> None:
    old, new = fill(tmp_path / "old"), fill(tmp_path / "new")
    (new / "gone").unlink()
    (new / "changed").write_text("newer")
    (new / "moded").chmod(0o600)
    (new / "added/deep").mkdir(parents=True)
    (new / "added/link").symlink_to("/etc")
    with closing(held(old)) as before, closing(held(new)) as after:
        found = sorted(changes.trees(before, after))
    assert found == [
        ("/added", Kind.ADDED),
        ("/added/deep", Kind.ADDED),
        ("/added/link", Kind.ADDED),
        ("/changed", Kind.MODIFIED),
        ("/gone", Kind.DELETED),
        ("/moded", Kind.MODIFIED),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are devices")
def test_layer_is_read(tmp_path: Path) -> None:
    lower, upper = fill(tmp_path / "lower"), tmp_path / "upper"
    (upper / "same/deep").mkdir(parents=True)
    (upper / "same/deep/new").touch()
    os.utime(upper / "same", (1, 1))
    (upper / "changed").write_text("newer")
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    (upper / "moded").mkdir()
    (upper / "moded/inside").touch()
    (lower / "again").mkdir()
    (lower / "again/hidden").touch()
    (upper / "again").mkdir()
    os.setxattr(upper / "again", "trusted.overlay.opaque", b"y")
    with closing(held(upper)) as own, closing(held(lower)) as below:
        found = sorted(changes.overlay(own, below))
    assert found == [
        ("/again", Kind.MODIFIED),
        ("/again/hidden", Kind.DELETED),
        ("/changed", Kind.MODIFIED),
        ("/gone", Kind.DELETED),
        ("/moded", Kind.MODIFIED),
        ("/moded/inside", Kind.ADDED),
        ("/same/deep", Kind.MODIFIED),
        ("/same/deep/new", Kind.ADDED),
    ]


def test_branch_of_aufs_is_read(tmp_path: Path) -> None:
    lower, upper = fill(tmp_path / "lower"), tmp_path / "upper"
    (lower / "full").mkdir()
    (lower / "full/old").touch()
    for name in ("same/deep/new", ".wh.gone", ".wh..wh.aufs", "full/.wh..wh..opq", "full/more", "changed"):
        (upper / name).parent.mkdir(parents=True, exist_ok=True)
        (upper / name).touch()
    (upper / ".wh..wh.plnk").mkdir()
    os.utime(upper / "same", (1, 1))
    with closing(held(lower)) as below, closing(held(upper)) as above:
        found = sorted(changes.branch(above, below))
    assert found == [
        ("/changed", Kind.MODIFIED),
        ("/full", Kind.MODIFIED),
        ("/full/more", Kind.ADDED),
        ("/full/old", Kind.DELETED),
        ("/gone", Kind.DELETED),
        ("/same/deep", Kind.MODIFIED),
        ("/same/deep/new", Kind.ADDED),
    ]

"""Layers made of trees: what they hold, and that unpacking them gives the tree again."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from protos.idmap import Mapping, Owners
from services.containerd.diff.apply import apply
from services.containerd.diff.compare import tree_layer, upper_layer
from services.containerd.diff.whiteout import Form
from tests.unit.containerd.diff.archive import names

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root")


def fill(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root")
    (root / "etc/hosts").write_text("hosts")
    (root / "var/log").mkdir(parents=True)
    (root / "var/log/x").write_text("x")
    (root / "bin").symlink_to("usr/bin")
    os.link(root / "etc/passwd", root / "etc/passwd-")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(root / "fifo")
    os.setxattr(root / "etc/hosts", "trusted.x", b"1")
    return root


def copy(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target


def layer(old: Path | None, new: Path) -> bytes:
    return b"".join(tree_layer(old, new))


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        target = str(path.readlink()) if path.is_symlink() else ""
        found[str(path.relative_to(root))] = (facts.st_mode, facts.st_uid, facts.st_rdev, content, target)
    return found


def test_whole_tree_comes_back(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "source"), tmp_path / "target"
    target.mkdir()
    apply(target, [layer(None, source)])
    assert listing(target) == listing(source)
    assert (target / "etc/passwd").stat().st_ino == (target / "etc/passwd-").stat().st_ino
    assert os.getxattr(target / "etc/hosts", "trusted.x") == b"1"


def test_owners_come_back_as_they_went(tmp_path: Path) -> None:
    owners = Owners(Mapping.parse("0:1000:10"), Mapping.parse("0:2000:10"))
    tree, shifted, again = (tmp_path / name for name in ("tree", "shifted", "again"))
    for each in (tree, shifted, again):
        each.mkdir()
    (tree / "f").touch()
    os.chown(tree / "f", 3, 4)
    apply(shifted, [layer(None, tree)], owners=owners)
    os.setxattr(shifted / "f", "security.capability", bytes.fromhex("0100000320000000000000000000000000000000e8030000"))
    apply(again, [b"".join(tree_layer(None, shifted, owners))])
    facts = (again / "f").stat()
    assert (facts.st_uid, facts.st_gid) == (3, 4)
    assert os.getxattr(again / "f", "security.capability").hex() == "0100000220000000000000000000000000000000"


def test_nothing_changed_is_an_empty_layer(tmp_path: Path) -> None:
    old = fill(tmp_path / "old")
    assert names(layer(old, copy(old, tmp_path / "new"))) == []


def test_changes_come_with_the_directories_above(tmp_path: Path) -> None:
    old = fill(tmp_path / "old")
    new = copy(old, tmp_path / "new")
    (new / "var/log/x").write_text("changed")
    (new / "etc/hosts").unlink()
    (new / "etc/new").write_text("n")
    assert names(layer(old, new)) == ["etc", "etc/.wh.hosts", "etc/new", "var", "var/log", "var/log/x"]


@pytest.mark.parametrize("kind", ["mode", "owner", "xattr", "link", "to directory", "from directory"])
def test_each_kind_of_change_is_seen(tmp_path: Path, kind: str) -> None:
    old = fill(tmp_path / "old")
    new = copy(old, tmp_path / "new")
    if kind == "mode":
        (new / "var/log").chmod(0o700)
    elif kind == "owner":
        os.chown(new / "bin", 7, 7, follow_symlinks=False)
    elif kind == "xattr":
        os.setxattr(new / "etc/hosts", "trusted.x", b"2")
    elif kind == "link":
        (new / "bin").unlink()
        (new / "bin").symlink_to("usr/sbin")
    elif kind == "to directory":
        (new / "fifo").unlink()
        (new / "fifo/d").mkdir(parents=True)
    else:
        subprocess.run(["rm", "-r", str(new / "var")], check=True)
        (new / "var").write_text("file")
    target = copy(old, tmp_path / "target")
    apply(target, [layer(old, new)])
    assert listing(target) == listing(new)


def test_upper_directory_becomes_a_layer(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    os.setxattr(upper / "d", "trusted.overlay.opaque", b"y")
    (upper / "d/f").write_text("x")
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    data = b"".join(upper_layer(upper))
    assert names(data) == ["d", "d/.wh..wh..opq", "d/f", ".wh.gone"]
    again = tmp_path / "again"
    again.mkdir()
    apply(again, [data], form=Form.DEVICE)
    assert listing(again) == listing(upper)
    assert os.getxattr(again / "d", "trusted.overlay.opaque") == b"y"


def test_sockets_are_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mknod(tree / "socket", stat.S_IFSOCK | 0o600)
    assert names(layer(None, tree)) == []


def test_tree_may_change_while_it_is_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in "abc":
        (tree / name).mkdir(parents=True)
        (tree / name / "f").write_text(name)
    pieces = tree_layer(None, tree)
    first = next(pieces)
    subprocess.run(["rm", "-r", str(tree / "b"), str(tree / "c/f")], check=True)
    (tree / "a/f").write_text("longer than before")
    assert [name for name in names(first + b"".join(pieces)) if name != "b"] == ["a", "a/f", "c"]

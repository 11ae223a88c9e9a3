"""Unpacking layers: what well-meant archives become, and that hostile ones change nothing outside their tree."""

import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from protos import errdefs
from protos.idmap import Mapping, Owners
from services.containerd.diff.apply import Unpacked, apply
from services.containerd.diff.whiteout import Form
from tests.unit.containerd.diff.archive import Builder, header, pax

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root")

SENTINEL = "untouched"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree to unpack into, with things beside it that must stay as they are."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SENTINEL)
    (tmp_path / "sibling").write_text(SENTINEL)
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


def unpack(root: Path, builder: Builder, **options: object) -> Unpacked:
    data = builder.plain()
    return apply(root, [data[at : at + 999] for at in range(0, len(data), 999)], **options)


def opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def is_whiteout(path: Path) -> bool:
    facts = path.lstat()
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0


def test_owners_are_the_hosts(root: Path) -> None:
    owners = Owners(Mapping.parse("0:1000:10"), Mapping.parse("0:2000:10"))
    built = Builder().add("implied/f", uid=3, gid=4).symlink("l", "f", uid=9)
    unpack(root, built, owners=owners)
    found = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert found == {"f": (1003, 2004), "implied": (1000, 2000), "l": (1009, 2000)}


def test_an_owner_without_an_id_of_the_host_is_refused(root: Path) -> None:
    owners = Owners(Mapping.parse("0:1000:10"), Mapping.parse("0:2000:10"))
    with pytest.raises(errdefs.InvalidArgument, match="Container ID 10 cannot be mapped to a host ID"):
        unpack(root, Builder().add("f", uid=10), owners=owners)


class TestSize:
    """What Docker's overlay2 and its plain drivers say of the same layers."""

    LAYER = Builder().directory("d").add("d/f", b"12345").hardlink("d/h", "d/f").symlink("s", "d/f").add("d/.wh.x")

    def test_of_one_layer_links_targets_count(self, root: Path) -> None:
        assert unpack(root, self.LAYER, form=Form.DEVICE).size == 5 + 3

    def test_of_a_whole_tree_files_alone_count(self, root: Path) -> None:
        assert unpack(root, self.LAYER).size == 5

    def test_what_the_layer_itself_replaces_does_not_count(self, root: Path) -> None:
        twice = Builder().add("f", b"12345").add("f", b"678").directory("d").add("d/g", b"x" * 9).add("d", b"y")
        assert unpack(root, twice, form=Form.DEVICE).size == 3 + 1


class TestEntries:
    def test_files_directories_and_links(self, root: Path) -> None:
        unpack(
            root,
            Builder()
            .directory("./").directory("d/", mode=0o1777, uid=3, gid=4, mtime=5)
            .add("d/f", b"text", mode=0o4711, uid=1, gid=2, mtime=1234567890)
            .symlink("d/s", "../f", uid=9).device("d/null", 1, 3)
            .hardlink("d/h", "d/f", mode=0o4711, uid=1, gid=2, mtime=1234567890),
        )
        facts = (root / "d/f").stat()
        assert (root / "d/f").read_text() == "text"
        assert (facts.st_mode & 0o7777, facts.st_uid, facts.st_gid) == (0o4711, 1, 2)
        assert facts.st_mtime == 1234567890
        assert (root / "d/h").stat().st_ino == facts.st_ino
        assert (root / "d/s").readlink() == Path("../f")
        assert (root / "d/s").lstat().st_uid == 9
        assert (root / "d/null").stat().st_rdev == os.makedev(1, 3)
        directory = (root / "d").stat()
        assert (directory.st_mode & 0o7777, directory.st_uid, directory.st_mtime) == (0o1777, 3, 5)

    def test_hard_link_has_the_last_word_on_its_file(self, root: Path) -> None:
        unpack(root, Builder().add("f", b"x").hardlink("h", "f", mode=0o6755, uid=4, gid=5, mtime=77))
        facts = (root / "f").stat()
        assert (facts.st_mode & 0o7777, facts.st_uid, facts.st_gid, facts.st_mtime) == (0o6755, 4, 5, 77)

    def test_hard_link_to_a_link_is_one(self, root: Path) -> None:
        outside = root.parent / "outside/file"
        before = outside.stat()
        unpack(root, Builder().symlink("s", str(outside), mtime=5).hardlink("h", "s", mode=0o777, uid=4, mtime=9))
        facts = (root / "h").lstat()
        assert (root / "h").readlink() == outside
        assert (facts.st_ino, facts.st_uid, facts.st_mtime) == ((root / "s").lstat().st_ino, 4, 5)
        assert (outside.stat().st_mode, outside.stat().st_uid) == (before.st_mode, before.st_uid)

    def test_times_that_docker_does_not_believe_are_the_epoch(self, root: Path) -> None:
        built = Builder(tarfile.GNU_FORMAT).add("old", mtime=-5).directory("d", mtime=-5).add("far", mtime=2**40)
        unpack(root, built.symlink("link", "old", mtime=-5))
        assert [(root / name).lstat().st_mtime for name in ("old", "d", "far", "link")] == [0, 0, 0, -5]

    def test_mode_does_not_depend_on_the_umask(self, root: Path) -> None:
        unpack(root, Builder().add("f", mode=0o666).directory("d", mode=0o777).device("c", 1, 3))
        assert stat.S_IMODE((root / "f").stat().st_mode) == 0o666
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o777

    def test_root_entry_sets_the_root(self, root: Path) -> None:
        unpack(root, Builder().directory("./", mode=0o711, uid=7))
        assert (root.stat().st_mode & 0o7777, root.stat().st_uid) == (0o711, 7)

    def test_xattrs_are_kept_but_overlayfs_ones(self, root: Path) -> None:
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        records = {"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.overlay.redirect": b"/etc"}
        unpack(root, Builder().raw(pax(records) + header(name=b"f")))
        assert os.getxattr(root / "f", "security.capability") == capability
        assert os.listxattr(root / "f") == ["security.capability"]

    def test_sparse_file_has_holes(self, root: Path) -> None:
        records = {"GNU.sparse.map": b"0,3,1048576,3", "GNU.sparse.size": b"2097152"}
        unpack(root, Builder().raw(pax(records) + header(name=b"s", size=b"6") + b"abcxyz" + bytes(506)))
        data = (root / "s").read_bytes()
        assert (len(data), data[:3], data[1048576:1048579]) == (2097152, b"abc", b"xyz")
        assert (root / "s").stat().st_blocks * 512 < 1048576

    def test_missing_parents_are_made(self, root: Path) -> None:
        assert unpack(root, Builder().add("a/b/f", b"x").add("a/c", b"y")).implied == [b"a", b"a/b", b"."]
        assert (root / "a/b/f").read_text() == "x"

    def test_deep_parents_are_made(self, root: Path) -> None:
        deep = "d/" * 1500
        assert len(unpack(root, Builder(tarfile.GNU_FORMAT).add(deep + "f", b"x"), form=Form.DEVICE).implied) == 1501
        assert (root / deep / "f").read_text() == "x"
        unpack(root, Builder().add("d", b"instead"))
        assert (root / "d").read_text() == "instead"

    def test_named_directories_are_not_implied(self, root: Path) -> None:
        assert unpack(root, Builder().directory("./").directory("a").add("a/f")).implied == []

    def test_later_entry_replaces_earlier(self, root: Path) -> None:
        unpack(
            root,
            Builder().add("x", b"1").add("x", b"2").directory("y").add("y/z", b"").add("y", b"3")
            .symlink("l", "x").add("l", b"4").symlink("m", "x").directory("m").add("m/n", b"5"),
        )
        assert [(root / name).read_text() for name in ("x", "y", "l", "m/n")] == ["2", "3", "4", "5"]
        assert not (root / "l").is_symlink()

    def test_directory_over_directory_keeps_its_files(self, root: Path) -> None:
        unpack(root, Builder().directory("d").add("d/f", b"x").directory("d", mode=0o700))
        assert (root / "d/f").read_text() == "x"
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o700

    def test_links_are_followed_inside_the_tree(self, root: Path) -> None:
        unpack(root, Builder().directory("usr/lib").symlink("lib", "/usr/lib").add("lib/f", b"x"))
        assert (root / "usr/lib/f").read_text() == "x"

    def test_old_names_are_cleaned(self, root: Path) -> None:
        unpack(root, Builder().add("/abs", b"1").add("./dot", b"2").add("a//b/../c", b"3"))
        assert [(root / name).read_text() for name in ("abs", "dot", "a/c")] == ["1", "2", "3"]

    def test_reads_what_gnu_tar_writes(self, root: Path, tmp_path: Path) -> None:
        source = tmp_path / "source"
        (source / ("deep" * 30) / ("er" * 40)).mkdir(parents=True)
        (source / ("deep" * 30) / ("er" * 40) / "f").write_bytes(os.urandom(100_000))
        with (source / "hole").open("wb") as file:
            file.truncate(5 << 20)
            file.seek(3 << 20)
            file.write(b"data")
        done = subprocess.run(["tar", "-S", "-C", str(source), "-c", "."], capture_output=True, check=True)
        apply(root, [done.stdout])
        assert subprocess.run(["diff", "-r", str(source), str(root)]).returncode == 0
        assert (root / "hole").stat().st_blocks < (source / "hole").stat().st_size // 512


class TestWhiteoutsOfAnUpperLayer:
    def test_whiteout_is_a_device(self, root: Path) -> None:
        unpack(root, Builder().add("d/.wh.gone"), form=Form.DEVICE)
        assert is_whiteout(root / "d/gone")
        assert not (root / "d/.wh.gone").exists()

    def test_opaque_is_an_xattr(self, root: Path) -> None:
        unpack(root, Builder().directory("d").add("d/.wh..wh..opq").add("d/f", b"x"), form=Form.DEVICE)
        assert opaque(root / "d")
        assert (root / "d/f").read_text() == "x"

    @pytest.mark.parametrize("first", [True, False])
    def test_own_directory_beside_its_whiteout_is_opaque(self, root: Path, first: bool) -> None:
        whiteout, directory = Builder().add(".wh.d"), Builder().directory("d").add("d/f", b"x")
        parts = (whiteout, directory) if first else (directory, whiteout)
        unpack(root, Builder().raw(parts[0].entries + parts[1].entries), form=Form.DEVICE)
        assert opaque(root / "d")
        assert (root / "d/f").read_text() == "x"

    def test_implied_directory_beside_its_whiteout_is_opaque(self, root: Path) -> None:
        unpack(root, Builder().add(".wh.d").add("d/f", b"x"), form=Form.DEVICE)
        assert opaque(root / "d")

    def test_own_file_beside_its_whiteout_stays(self, root: Path) -> None:
        unpack(root, Builder().add("f", b"x").add(".wh.f").add(".wh.g").add("g", b"y"), form=Form.DEVICE)
        assert [(root / name).read_text() for name in "fg"] == ["x", "y"]

    def test_implied_directory_looks_like_the_parents_one(self, root: Path, tmp_path: Path) -> None:
        near, far = tmp_path / "near", tmp_path / "far"
        (far / "tmp/x").mkdir(parents=True)
        (far / "tmp").chmod(0o1777)
        os.chown(far / "tmp/x", 5, 6)
        near.mkdir()
        unpack(root, Builder().add("tmp/x/f"), form=Form.DEVICE, parents=[near, far])
        assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
        assert ((root / "tmp/x").stat().st_uid, (root / "tmp/x").stat().st_gid) == (5, 6)

    def test_aufs_leftovers_are_skipped(self, root: Path) -> None:
        leftovers = Builder().directory(".wh..wh.plnk").add(".wh..wh.plnk/1.2", b"x").add(".wh..wh.aufs")
        unpack(root, leftovers, form=Form.DEVICE)
        assert list(root.iterdir()) == []


    def test_links_to_aufs_leftovers_are_files(self, root: Path) -> None:
        leftovers = Builder().directory(".wh..wh.plnk").add(".wh..wh.plnk/1.2", b"x")
        built = leftovers.hardlink("a", ".wh..wh.plnk/1.2", mode=0o600).hardlink("b", ".wh..wh.plnk/1.2", mode=0o640)
        assert unpack(root, built, form=Form.DEVICE).implied == [b"."]
        assert sorted(path.name for path in root.iterdir()) == ["a", "b"]
        assert (root / "a").read_text() == "x"
        assert stat.S_IMODE((root / "b").stat().st_mode) == 0o640

    @pytest.mark.parametrize("first", [True, False])
    def test_opaque_directory_needs_no_whiteouts(self, root: Path, first: bool) -> None:
        """The kernel would list them there, as files that are not."""
        opaque_one, whiteout = Builder().add("d/.wh..wh..opq"), Builder().add("d/.wh.f")
        parts = (opaque_one, whiteout) if first else (whiteout, opaque_one)
        unpack(root, Builder().raw(parts[0].entries + parts[1].entries).add("d/g", b"x"), form=Form.DEVICE)
        assert [path.name for path in (root / "d").iterdir()] == ["g"]


class TestWhiteoutsOfATree:
    def test_whiteout_removes(self, root: Path) -> None:
        (root / "d/sub").mkdir(parents=True)
        (root / "d/sub/f").write_text("old")
        (root / "d/g").write_text("old")
        unpack(root, Builder().add("d/.wh.sub").add("d/.wh.g").add("d/.wh.never"))
        assert list((root / "d").iterdir()) == []

    def test_opaque_keeps_what_the_layer_brought(self, root: Path) -> None:
        (root / "d/old").mkdir(parents=True)
        (root / "d/mixed").mkdir()
        (root / "d/mixed/old").write_text("old")
        unpack(root, Builder().add("d/new", b"1").add("d/mixed/new", b"2").add("d/.wh..wh..opq"))
        left = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        assert left == ["d", "d/mixed", "d/mixed/new", "d/new"]

    def test_whiteout_spares_what_the_layer_brought(self, root: Path) -> None:
        unpack(root, Builder().add("f", b"x").add(".wh.f"))
        assert (root / "f").read_text() == "x"


EVIL: dict[str, Builder] = {
    "name climbs out": Builder().add("../sibling", b"evil"),
    "name climbs out from below": Builder().directory("d").add("d/../../sibling", b"evil"),
    "pax name climbs out": Builder().raw(pax({"path": b"../sibling"}) + header(name=b"ok")),
    "prefix climbs out": Builder().raw(header(name=b"sibling", prefix=b"..")),
    "hard link to the outside": Builder().hardlink("h", "../outside/file"),
    "hard link over an absolute link": Builder().symlink("s", "@OUT").hardlink("h", "s/file").add("h", b"evil"),
    "hard link to nothing": Builder().hardlink("h", "absent"),
    "whiteout of the parent": Builder().directory("d").add("d/.wh..", b""),
    "whiteout of dot": Builder().add(".wh..", b""),
    "whiteout of nothing": Builder().add(".wh.", b""),
    "file below a file": Builder().add("f", b"").add("f/g", b"evil"),
    "file below a dangling link": Builder().symlink("s", "nowhere").add("s/f", b"evil"),
    "file below a link to itself": Builder().symlink("s", "s").add("s/f", b"evil"),
    "root is a file": Builder().add(".", b"evil"),
    "root is a link": Builder().symlink("./", "@OUT"),
    "endless name": Builder().add("a/" * 3000, b""),
    "long component": Builder().add("a" * 300, b"evil"),
    "nul in a name": Builder().raw(pax({"path": b"a\0b"}) + header(name=b"x")),
    "cut off": Builder().raw(header(name=b"x", size=b"00000005000") + b"x" * 1000),
    "negative size": Builder().raw(header(name=b"x", size=b"\xff" * 12)),
    "size without data": Builder().raw(header(name=b"x", size=b"77777777777")),
    "owner out of bounds": Builder().raw(pax({"uid": b"4294967295"}) + header(name=b"x")),
    "not an archive": Builder().raw(b"#!/bin/sh\n" * 1000),
}

HARMLESS: dict[str, Builder] = {
    "write through an absolute link": Builder().symlink("s", "@OUT").add("s/file", b"evil"),
    "write through a climbing link": Builder().symlink("s", "../outside").add("s/file", b"evil"),
    "write over a link": Builder().symlink("s", "@OUT/file").add("s", b"evil"),
    "chmod through a link": Builder().symlink("s", "@OUT").directory("s", mode=0o777),
    "whiteout through a link": Builder().symlink("s", "@OUT").add("s/.wh.file"),
    "opaque through a link": Builder().symlink("s", "@OUT").add("s/.wh..wh..opq"),
    "link swapped for a directory": Builder().add("d/f", b"").symlink("d", "@OUT").add("d/file", b"evil"),
    "chain of links": Builder().symlink("a", "b").symlink("b", "@OUT/..").add("a/sibling", b"evil"),
    "device of the host": Builder().device("mem", 1, 1),
    "absolute name": Builder().add("@OUT/file", b"evil"),
}


class TestHostileArchives:
    def check(self, root: Path) -> None:
        assert (root.parent / "outside/file").read_text() == SENTINEL
        assert (root.parent / "sibling").read_text() == SENTINEL
        assert {path.name for path in root.parent.iterdir()} == {"outside", "sibling", "tree"}
        assert {path.name for path in (root.parent / "outside").iterdir()} == {"file"}
        assert stat.S_IMODE((root.parent / "outside").stat().st_mode) == 0o755

    @pytest.mark.parametrize("form", Form)
    @pytest.mark.parametrize("name", EVIL)
    def test_is_refused(self, root: Path, name: str, form: Form) -> None:
        with pytest.raises(errdefs.InvalidArgument):
            apply(root, [place(EVIL[name], root)], form=form)
        self.check(root)

    @pytest.mark.parametrize("form", Form)
    @pytest.mark.parametrize("name", HARMLESS)
    def test_stays_inside(self, root: Path, name: str, form: Form) -> None:
        try:
            apply(root, [place(HARMLESS[name], root)], form=form)
        except errdefs.InvalidArgument:
            pass
        self.check(root)

    def test_link_that_appears_meanwhile_is_not_followed_outside(self, root: Path) -> None:
        """The tree is changed by somebody else between two entries."""

        def pieces() -> object:
            yield Builder().directory("d").add("d/a", b"1").entries
            (root / "d").rename(root / "old")
            (root / "d").symlink_to(root.parent / "outside")
            yield Builder().add("d/file", b"evil").add("e/x", b"").add("d/file", b"evil").plain()

        try:
            apply(root, pieces())
        except errdefs.InvalidArgument:
            pass
        self.check(root)


def place(builder: Builder, root: Path) -> bytes:
    """The archive, with `@OUT` meaning a directory outside: padded, so that lengths stay right."""
    outside = str(root.parent / "outside")
    data = builder.plain()
    if b"@OUT" not in data:
        return data
    out = bytearray()
    for at in range(0, len(data), 512):
        block = data[at : at + 512]
        if b"@OUT" in block and block[257:262] == b"ustar":
            fields = bytearray(block)
            for start in (0, 157):
                text = bytes(fields[start : start + 100]).rstrip(b"\0").replace(b"@OUT", outside.encode())
                assert len(text) <= 100
                fields[start : start + 100] = text.ljust(100, b"\0")
            fields[148:156] = b" " * 8
            fields[148:156] = b"%06o\0 " % sum(fields)
            block = bytes(fields)
        out += block
    return bytes(out)

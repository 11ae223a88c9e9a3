"""Hostile archives and trees: whatever they hold, nothing outside the root is read, made, changed or linked."""

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs, tar
from services.dockerd import beneath
from services.dockerd.archive import reader, walk
from services.dockerd.archive.extract import Extractor
from services.dockerd.beneath import closing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """Files of the host's around the root; they must be as they were."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("secret")
    (tmp_path / "host/secret").chmod(0o600)
    (tmp_path / "root/dest").mkdir(parents=True)
    yield tmp_path
    assert [each.name for each in (tmp_path / "host").iterdir()] == ["secret"]
    status = (tmp_path / "host/secret").stat()
    assert (tmp_path / "host/secret").read_text() == "secret"
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_nlink) == (0o600, 0, 1)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["host", "root"]


def entry(name: str, kind: str = tar.REGULAR, link: str = "", data: bytes = b"evil", **more: object) -> bytes:
    size = len(data) if kind == tar.REGULAR else 0
    header = tar.Header(name.encode(), kind, link=link.encode(), size=size, **more)  # type: ignore[arg-type]
    return tar.encode(header) + (data + bytes(-len(data) % 512) if size else b"")


def extract(host: Path, *blocks: bytes, keep_kinds: bool = False) -> None:
    with closing(os.open(host / "root", os.O_PATH | os.O_DIRECTORY)) as root:
        Extractor(root, "/dest", keep_kinds=keep_kinds).apply(reader.read(iter([*blocks, bytes(1024)])))


@pytest.mark.parametrize("name", ["../evil", "../../host/evil", "a/../../evil", "./../evil", "..", "../dest2/x"])
def test_names_that_climb_are_refused(host: Path, name: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match='is outside of "/dest"'):
        extract(host, entry(name))
    assert not list((host / "root/dest").iterdir())


def test_absolute_names_are_relative(host: Path) -> None:
    extract(host, entry(f"{host}/host/evil"))
    assert (host / f"root/dest{host}/host/evil").read_text() == "evil"


@pytest.mark.parametrize("target", ["/host", "../../host", "../../../../../../../../{host}/host", "{host}/host"])
def test_link_then_write_stays_inside(host: Path, target: str) -> None:
    (host / "root/host").mkdir()
    extract(host, entry("out", tar.SYMLINK, target.format(host=host)), entry("out/secret"), entry("out/new"))
    found = list((host / "root").rglob("new"))
    assert found and all(each.is_relative_to(host / "root") for each in found)


def test_link_to_file_is_replaced_not_followed(host: Path) -> None:
    (host / "root/dest/file").symlink_to(host / "host/secret")
    extract(host, entry("file"))
    assert not (host / "root/dest/file").is_symlink() and (host / "root/dest/file").read_text() == "evil"


@pytest.mark.parametrize("target", ["/../../host/secret", "out/secret", "self"])
def test_hard_link_to_the_host_fails(host: Path, target: str) -> None:
    (host / "root/dest/out").symlink_to("../../host")
    with pytest.raises((errdefs.InvalidArgument, OSError)):
        extract(host, entry("twin", tar.HARD_LINK, target))


def test_hard_link_of_a_link_is_the_link(host: Path) -> None:
    extract(host, entry("link", tar.SYMLINK, "/nowhere"), entry("twin", tar.HARD_LINK, "link"))
    assert (host / "root/dest/twin").readlink() == Path("/nowhere")


def test_mode_of_a_link_target_stays(host: Path) -> None:
    inside = host / "root/inside"
    inside.write_text("x")
    inside.chmod(0o600)
    extract(host, entry("link", tar.SYMLINK, "/inside", mode=0o777, uid=7))
    assert stat.S_IMODE(inside.stat().st_mode) == 0o600 and inside.stat().st_uid == 0
    assert os.lstat(host / "root/dest/link").st_uid == 7


def test_directory_over_a_link_replaces_it(host: Path) -> None:
    (host / "root/dest/d").symlink_to(host / "host")
    extract(host, entry("d/", tar.DIRECTORY, mode=0o777), entry("d/x"))
    assert (host / "root/dest/d/x").exists() and not (host / "root/dest/d").is_symlink()


def test_kinds_are_kept_apart(host: Path) -> None:
    (host / "root/dest/d").mkdir()
    (host / "root/dest/f").touch()
    with pytest.raises(errdefs.InvalidArgument, match='directory "/dest/d" with non-directory "/dest"'):
        extract(host, entry("d"), keep_kinds=True)
    with pytest.raises(errdefs.InvalidArgument, match='non-directory "/dest/f" with directory "/dest"'):
        extract(host, entry("f/", tar.DIRECTORY), keep_kinds=True)
    extract(host, entry("d"), entry("f/", tar.DIRECTORY))
    assert (host / "root/dest/d").is_file() and (host / "root/dest/f").is_dir()


def test_removed_tree_is_not_followed(host: Path) -> None:
    (host / "root/dest/d").mkdir()
    (host / "root/dest/d/out").symlink_to(host / "host")
    extract(host, entry("d"))


@pytest.mark.parametrize("more", [{"uid": 1 << 32}, {"gid": (1 << 32) - 1}, {"uid": 1 << 40}])
def test_owner_out_of_range_is_refused(host: Path, more: dict[str, int]) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="out of range"):
        extract(host, entry("f", **more))


def test_capability_is_kept_and_overlay_marks_are_not(host: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    extract(
        host,
        entry(
            "f",
            pax={
                "SCHILY.xattr.security.capability": capability,
                "SCHILY.xattr.trusted.overlay.opaque": b"y",
                "SCHILY.xattr.user.overlay.opaque": b"y",
                "SCHILY.xattr.user.ok": b"v",
            },
        ),
    )
    assert set(os.listxattr(host / "root/dest/f")) == {"security.capability", "user.ok"}


def test_set_uid_survives_the_owner(host: Path) -> None:
    extract(host, entry("f", mode=0o4755, uid=5))
    status = (host / "root/dest/f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o4755, 5)


def test_devices_are_made_not_opened(host: Path) -> None:
    extract(host, entry("zero", tar.CHARACTER, major=1, minor=5), entry("pipe", tar.FIFO), entry("pipe", data=b"x"))
    assert (host / "root/dest/zero").stat().st_rdev == os.makedev(1, 5)
    assert (host / "root/dest/pipe").read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["V", "M", "D", "\x01"])
def test_unknown_kinds_are_refused(host: Path, kind: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="unhandled tar header type"):
        extract(host, entry("f", kind))


def test_negative_size_is_refused(host: Path) -> None:
    block = bytearray(entry("f")[:512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(errdefs.InvalidArgument, match="negative"):
        extract(host, bytes(block))


@pytest.mark.parametrize("records", [b"5 a=", b"99999999999999999999 a=b\n", b"-1 a=b\n", b"0 a=b\n", b"6 =bc\n"])
def test_broken_pax_is_refused(host: Path, records: bytes) -> None:
    header = tar.encode(tar.Header(b"x", tar.PAX, size=len(records)))
    with pytest.raises(errdefs.InvalidArgument, match="archive is not readable"):
        extract(host, header + records + bytes(-len(records) % 512), entry("f"))


def test_pax_path_is_checked_too(host: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="is outside of"):
        extract(host, entry("harmless", pax={"path": b"../../host/evil"}))


def test_huge_extension_is_refused(host: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="extended header"):
        extract(host, tar.encode(tar.Header(b"x", tar.PAX, size=1 << 30)))


def test_sparse_files_are_refused(host: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="sparse"):
        extract(host, entry("f", pax={"GNU.sparse.major": b"1"}))
    with pytest.raises(errdefs.InvalidArgument, match="sparse"):
        extract(host, entry("f", tar.GNU_SPARSE))


def test_walk_does_not_follow(host: Path) -> None:
    (host / "root/out").symlink_to(host / "host")
    os.mkfifo(host / "root/pipe")
    with closing(os.open(host / "root", os.O_PATH)) as root:
        found = {item.header.name: item.header for item in walk.Walk().entries(root, b".", b".")}
    assert found[b"./out"].type == tar.SYMLINK and not any(b"secret" in name for name in found)


def test_flipping_directory_never_leads_out(host: Path) -> None:
    """A container that exchanges a directory for a link again and again, while files go in and out."""
    dest = host / "root/dest"
    (dest / "d").mkdir()
    (dest / "l").symlink_to("../../../../../.." + str(host / "host"))
    stop = threading.Event()

    def flip() -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        one, two = os.fsencode(dest / "d"), os.fsencode(dest / "l")
        while not stop.is_set():
            libc.renameat2(-100, one, -100, two, 2)  # RENAME_EXCHANGE

    flipper = threading.Thread(target=flip)
    flipper.start()
    try:
        for number in range(300):
            try:
                extract(host, entry(f"d/{number}"), entry("d/secret"))
            except (OSError, errdefs.EngineError):
                pass  # it may fail, as long as it does not leave
            with closing(os.open(host / "root", os.O_PATH | os.O_DIRECTORY)) as root:
                try:
                    data = beneath.read(root, "/dest/d/secret", 100)
                except (OSError, errdefs.EngineError):
                    data = None
                assert data in (None, b"evil", b"")
    finally:
        stop.set()
        flipper.join()


def test_deep_tree_does_not_exhaust(host: Path) -> None:
    deep = "/".join(["d"] * 1500)
    subprocess.run(["mkdir", "-p", str(host / "root" / ("d/" * 900))], check=True)
    with closing(os.open(host / "root", os.O_PATH)) as root:
        count = sum(1 for _ in walk.Walk().entries(root, b".", b"."))
    assert count > 900
    with pytest.raises((errdefs.InvalidArgument, OSError)):
        extract(host, entry(deep + "/" + "x" * 3000))


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_entries_are_closed_after(host: Path) -> None:
    before = descriptors()
    extract(host, entry("a/b/c"), entry("a/d"))
    with closing(os.open(host / "root", os.O_PATH)) as root:
        iterator = walk.Walk().entries(root, b".", b".")
        next(iterator)
        next(iterator)
        iterator.close()  # type: ignore[attr-defined]
    assert descriptors() == before

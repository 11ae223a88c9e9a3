"""Archives written and read: what a client sends comes back the same."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from protos import errdefs, tar
from services.dockerd.archive import pathstat, reader, walk, writer
from services.dockerd.archive.extract import Extractor
from services.dockerd.beneath import closing


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def pack(place: Path, name: bytes = b"top") -> bytes:
    with closing(os.open(place, os.O_PATH | os.O_NOFOLLOW)) as fd:
        return b"".join(writer.write(walk.Walk().entries(fd, name, name)))


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [member.name + ("/" if member.isdir() else "") for member in archive]


def unpack(data: bytes, root: Path, target: str = "/", **more: object) -> None:
    with closing(os.open(root, os.O_PATH | os.O_DIRECTORY)) as fd:
        Extractor(fd, target, **more).apply(reader.read(pieces(data)))  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "b/deep").mkdir(parents=True)
    (top / "a").write_bytes(b"content" * 100_000)
    os.link(top / "a", top / "b/twin")
    (top / "link").symlink_to("/elsewhere")
    (top / "b/deep" / ("long-name-" * 20)).touch()
    os.utime(top / "a", ns=(0, 1_600_000_000_987_654_321))
    return top


def test_tree_is_packed_as_docker_does(tree: Path) -> None:
    data = pack(tree)
    assert names(data) == [
        "top/",
        "top/a",
        "top/b/",
        "top/b/deep/",
        "top/b/deep/" + "long-name-" * 20,
        "top/b/twin",
        "top/link",
    ]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getmember("top/a").mtime == 1_600_000_000
        assert archive.getmember("top/b/twin").linkname == "top/a" and archive.getmember("top/b/twin").islnk()
        assert archive.getmember("top/link").linkname == "/elsewhere"
        assert archive.extractfile("top/a").read() == b"content" * 100_000  # type: ignore[union-attr]


def test_root_is_named_by_slash(tree: Path) -> None:
    with closing(os.open(tree, os.O_PATH)) as fd:
        headers = [entry.header.name for entry in walk.Walk().entries(fd, b"", b"")]
    assert headers[:2] == [b"/", b"/a"]


def test_socket_is_left_out(tree: Path) -> None:
    os.mknod(tree / "sock", stat.S_IFSOCK | 0o600)
    assert "top/sock" not in names(pack(tree))


def test_shrunken_file_is_padded(tree: Path) -> None:
    with closing(os.open(tree / "a", os.O_PATH)) as fd:
        entries = list(walk.Walk().entries(fd, b"a", b"a"))
        os.truncate(tree / "a", 10)
        data = b"".join(writer.write(entries))
    assert names(data) == ["a"] and len(data) % 512 == 0


def test_archive_survives_the_round(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    unpack(pack(tree), target)
    made = target / "top"
    assert (made / "a").read_bytes() == b"content" * 100_000 and (made / "a").samefile(made / "b/twin")
    assert (made / "link").readlink() == Path("/elsewhere") and (made / "a").stat().st_mtime == 1_600_000_000
    assert (made / "b/deep" / ("long-name-" * 20)).exists()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_compression_is_recognised(tree: Path, tmp_path: Path, compress: object) -> None:
    target = tmp_path / "target"
    target.mkdir()
    unpack(compress(pack(tree)), target)  # type: ignore[operator]
    assert (target / "top/a").stat().st_size == 700_000


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_other_writers_are_understood(tmp_path: Path, format_: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        name = "d" * 90 + "/" + "f" * (90 if format_ == tarfile.USTAR_FORMAT else 150)
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    unpack(buffer.getvalue(), tmp_path)
    assert (tmp_path / name).read_text() == "abc"


@pytest.mark.parametrize("cut", [100, 512, 700, 5000])
def test_torn_archive_is_refused(tree: Path, tmp_path: Path, cut: int) -> None:
    target = tmp_path / "target"
    target.mkdir()
    data = pack(tree)
    with pytest.raises(errdefs.InvalidArgument, match="archive is not readable"):
        unpack(data[: cut if cut != 512 else 1536 + 100], target)


def test_empty_archive_is_fine(tmp_path: Path) -> None:
    unpack(bytes(1024), tmp_path)
    unpack(b"", tmp_path)


def test_bomb_takes_little_memory(tmp_path: Path) -> None:
    import resource

    packed = lzma.compress(bytes(1 << 28))
    header = lzma.compress(tar.encode(tar.Header(b"big", size=1 << 28)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    class Counting:
        def chunks(self) -> int:
            return sum(len(piece) for piece in next(entries).content.chunks())  # type: ignore[union-attr]

    entries = reader.read(iter([header + packed + lzma.compress(bytes(1024))]))
    assert Counting().chunks() == 1 << 28
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


@pytest.mark.parametrize(
    ("path", "absolute", "base"),
    [
        ("/", "/", "/"),
        ("etc", "/etc", "etc"),
        ("/etc/", "/etc/", "etc"),
        ("/etc/.", "/etc/.", "."),
        (".", "/.", "."),
        ("//a//b/../c", "/a/c", "c"),
        ("/../../x", "/x", "x"),
    ],
)
def test_paths_keep_their_end(path: str, absolute: str, base: str) -> None:
    assert (pathstat.absolute(path), pathstat.base(pathstat.absolute(path))) == (absolute, base)


def test_a_file_may_be_of_1970(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(0, 0))
    assert pathstat.document("x", tmp_path.stat(), "")["mtime"] == "1970-01-01T00:00:00Z"


def test_modes_are_gos() -> None:
    assert pathstat.mode(stat.S_IFDIR | 0o755) == 2147484141
    assert pathstat.mode(stat.S_IFLNK | 0o777) == 134218239
    assert pathstat.mode(stat.S_IFREG | 0o4755) == 1 << 23 | 0o755
    assert pathstat.mode(stat.S_IFCHR | 0o666) == 1 << 26 | 1 << 21 | 0o666

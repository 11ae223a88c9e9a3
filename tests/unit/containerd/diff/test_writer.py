"""What the tar writer writes, as tarfile and our own reader read it."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.containerd.diff import kinds
from services.containerd.diff.entry import Entry
from services.containerd.diff.tar import Reader
from services.containerd.diff.writer import END, header, padding


def entry(name: bytes = b"f", kind: bytes = kinds.FILE, **fields: object) -> Entry:
    base = Entry(name=name, kind=kind, mode=0o644, uid=0, gid=0, size=0, mtime=0)
    for key, value in fields.items():
        setattr(base, key, value)
    return base


def back(written: Entry) -> Entry:
    [read] = Reader(iter([header(written) + bytes(written.size) + padding(written.size) + END]))
    return read


@pytest.mark.parametrize(
    "written",
    [
        entry(),
        entry(b"d/", kinds.DIRECTORY, mode=0o1777, uid=1, gid=2),
        entry(b"l", kinds.SYMLINK, link=b"to" * 90),
        entry(b"c", kinds.CHARACTER, major=5, minor=1),
        entry(b"a/" * 200 + b"f"),
        entry("ümlaut/ß".encode()),
        entry(b"latin\xe9"),
        entry(uid=3_000_000, gid=4_294_967_294, mtime=1_700_000_000 * 10**9),
        entry(mtime=-5 * 10**9),
        entry(xattrs={"security.capability": b"\x01\0\n=", "user.x": b"y"}),
    ],
)
def test_reader_reads_it_back(written: Entry) -> None:
    read = back(written)
    read.extents, read.length = None, 0
    assert read == written


@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 2), st.integers(-(2**40), 2**40))
def test_any_name_and_number_survives(name: bytes, uid: int, seconds: int) -> None:
    written = entry(b"x" + name.replace(b"\0", b"").rstrip(b"/"), uid=uid, mtime=seconds * 10**9)
    read = back(written)
    assert (read.name, read.uid, read.mtime) == (written.name, uid, seconds * 10**9)


def test_tarfile_reads_it() -> None:
    data = header(entry(b"n" * 300, size=3)) + b"abc" + padding(3) + header(entry(b"l", kinds.SYMLINK, link=b"n")) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        first, second = archive.getmembers()
        file = archive.extractfile(first)
        assert file is not None
        assert (first.name, file.read(), second.linkname) == ("n" * 300, b"abc", "n")

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import tar


def read(data: bytes) -> tar.Header:
    """The first whole entry of an archive, pax and GNU extensions applied."""
    records: dict[str, bytes] = {}
    position = 0
    while True:
        header = tar.parse(data[position : position + tar.BLOCK])
        assert header is not None
        body = data[position + tar.BLOCK :][: header.size]
        position += tar.BLOCK + header.size + header.padding
        if header.type == tar.PAX:
            records |= tar.pax_records(body)
        elif header.type == tar.GNU_LONG_NAME:
            records["path"] = body.rstrip(b"\0")
        else:
            return tar.extended(header, records)


names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/"))


@given(names, st.integers(0, 2**40), st.integers(0, 2**31), st.integers(0, 0o7777))
def test_what_is_encoded_is_read_back(name: bytes, size: int, uid: int, mode: int) -> None:
    header = read(tar.encode(tar.Header(name, size=size, uid=uid, gid=uid, mode=mode, mtime=1.5)))
    assert (header.name, header.size, header.uid, header.gid, header.mode, header.mtime) == (
        name,
        size,
        uid,
        uid,
        mode,
        1.5,
    )


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a", "d/" * 40 + "name"])
def test_all_dialects_are_read(form: int, name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.uid, info.mode, info.size = 1000, 0o640, 3
        archive.addfile(info, io.BytesIO(b"abc"))
    header = read(out.getvalue())
    assert (header.name.decode(), header.uid, header.mode, header.size) == (name, 1000, 0o640, 3)


def test_what_we_write_others_read() -> None:
    long = b"x" * 150
    data = tar.encode(tar.Header(long, tar.SYMLINK, link=b"y" * 120)) + bytes(2 * tar.BLOCK)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.linkname, member.issym()) == (long.decode(), "y" * 120, True)


def test_a_broken_header_is_refused() -> None:
    block = bytearray(tar.encode(tar.Header(b"a")))
    block[0] ^= 1
    with pytest.raises(tar.TarError, match="checksum"):
        tar.parse(bytes(block))


def test_a_negative_size_is_refused() -> None:
    block = bytearray(tar.encode(tar.Header(b"a")))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(tar.TarError, match="negative"):
        tar.parse(bytes(block))


@pytest.mark.parametrize("data", [b"x", b"5 a\n", b"99 a=b\n", b"0 a=b\n"])
def test_bad_pax_records_are_refused(data: bytes) -> None:
    with pytest.raises(tar.TarError):
        tar.pax_records(data)

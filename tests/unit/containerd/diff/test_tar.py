"""The tar reader, against what tarfile writes and against what nobody should."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.containerd.diff import kinds
from services.containerd.diff.entry import Entry, TarError
from services.containerd.diff.tar import MAX_META, Reader
from tests.unit.containerd.diff.archive import Builder, header, pax


def read(data: bytes, piece: int = 1000) -> list[tuple[Entry, bytes]]:
    """All entries with their data, the archive arriving in pieces."""
    reader = Reader(iter([data[at : at + piece] for at in range(0, len(data), piece)]))
    return [(entry, b"".join(reader.data())) for entry in reader]


def only(data: bytes) -> Entry:
    [(entry, _)] = read(data)
    return entry


def test_reads_names_and_data() -> None:
    found = read(Builder().directory("d/").add("d/f", b"x" * 700, uid=5, gid=6, mode=0o4755, mtime=7).plain())
    assert [(entry.name, entry.kind) for entry, _ in found] == [(b"d/", kinds.DIRECTORY), (b"d/f", kinds.FILE)]
    entry, data = found[1]
    assert data == b"x" * 700
    assert (entry.uid, entry.gid, entry.mode, entry.mtime) == (5, 6, 0o4755, 7 * 10**9)


@pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 10**6])
def test_pieces_may_end_anywhere(piece: int) -> None:
    data = Builder().add("a" * 150, b"1" * 1300).hardlink("b", "a" * 150).plain()
    found = read(data, piece)
    assert [(entry.name, text) for entry, text in found] == [(b"a" * 150, b"1" * 1300), (b"b", b"")]
    assert found[1][0].link == b"a" * 150


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_every_format(form: int) -> None:
    name = "d/" * 60 + "f" * 90
    assert only(Builder(form).add(name, b"x").plain()).name == name.encode()


def test_unread_data_is_skipped() -> None:
    reader = Reader(iter([Builder().add("a", b"1" * 5000).add("b", b"2").plain()]))
    assert [entry.name for entry in reader] == [b"a", b"b"]


def test_pax_overrides_what_the_header_says() -> None:
    data = pax({"path": b"caf\xc3\xa9", "uid": b"3000000", "mtime": b"12.5", "SCHILY.xattr.user.a": b"\0\n="})
    entry = only(data + header(name=b"x") + bytes(1024))
    assert (entry.name, entry.uid, entry.mtime) == (b"caf\xc3\xa9", 3000000, 12_500_000_000)
    assert entry.xattrs == {"user.a": b"\0\n="}


def test_pax_of_one_entry_is_not_the_next_ones() -> None:
    data = pax({"path": b"first"}) + header(name=b"x") + header(name=b"second") + bytes(1024)
    assert [entry.name for entry, _ in read(data)] == [b"first", b"second"]


def test_global_pax_is_passed_over() -> None:
    data = pax({"path": b"x", "uid": b"7"}, b"g") + header(name=b"a") + header(name=b"b") + bytes(1024)
    assert [(entry.name, entry.uid) for entry, _ in read(data)] == [(b"a", 0), (b"b", 0)]


def test_empty_pax_records_say_nothing() -> None:
    records = dict.fromkeys(("path", "linkpath", "size", "uid", "mtime", "SCHILY.xattr.user.x", "GNU.sparse.name"), b"")
    entry = only(pax(records) + header(name=b"a", uid=b"0000007", mtime=b"00000000011") + bytes(1024))
    assert (entry.name, entry.uid, entry.mtime, entry.xattrs) == (b"a", 7, 9 * 10**9, {})


def test_base_256_numbers() -> None:
    entry = only(header(name=b"x", uid=b"\x80\0\0\0\0\x20\0\0", mtime=b"\xff" * 12) + bytes(1024))
    assert (entry.uid, entry.mtime) == (0x200000, -(10**9))


def test_old_gnu_sparse_file() -> None:
    block = header(name=b"s", kind=b"S", size=b"00000000010", magic=b"ustar  \0")
    raw = bytearray(block)
    raw[386:410] = b"%011o\0%011o\0" % (0, 4)
    raw[410:434] = b"%011o\0%011o\0" % (1000, 4)
    raw[483:495] = b"%011o\0" % 2000
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    [(entry, data)] = read(bytes(raw) + b"AAAABBBB" + bytes(504) + bytes(1024))
    assert (entry.extents, entry.length, data) == ([(0, 4), (1000, 4)], 2000, b"AAAABBBB")


def test_pax_sparse_1_0_file() -> None:
    records = {
        "GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": b"real", "GNU.sparse.realsize": b"9000",
    }
    table = b"2\n0\n3\n8000\n4\n".ljust(512, b"\0")
    data = pax(records) + header(name=b"x", size=b"%011o" % (512 + 7)) + table + b"AAABBBB" + bytes(505) + bytes(1024)
    [(entry, text)] = read(data)
    assert (entry.name, entry.extents, entry.length, text) == (b"real", [(0, 3), (8000, 4)], 9000, b"AAABBBB")


def test_pax_sparse_0_1_file() -> None:
    records = {"GNU.sparse.map": b"1,2,10,1", "GNU.sparse.size": b"20"}
    [(entry, text)] = read(pax(records) + header(name=b"x", size=b"3") + b"abc" + bytes(509) + bytes(1024))
    assert (entry.extents, entry.length, text) == ([(1, 2), (10, 1)], 20, b"abc")


def test_archive_may_end_without_zero_blocks() -> None:
    assert only(header(name=b"x")).name == b"x"
    assert read(b"") == []


def test_what_follows_the_end_is_left() -> None:
    reader = Reader(iter([header(name=b"x") + bytes(1024) + b"junk"]))
    assert [entry.name for entry in reader] == [b"x"]
    assert b"".join(reader.rest()).endswith(b"junk")


SPARSE = {"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.realsize": b"10"}


@pytest.mark.parametrize(
    "data",
    [
        b"not a tar archive" * 100,
        header(name=b"x")[:300],
        header(name=b"x", size=b"00000001000"),
        header(name=b"x", size=b"\xff" * 12),
        header(name=b"x", size=b"-1"),
        header(name=b"x", size=b"9"),
        header(name=b"x", uid=b"\xff" * 8),
        header(name=b"x", kind=b"Z"),
        header(name=b""),
        header(name=b"l", kind=b"2"),
        header(name=b"d", kind=b"3", major=b"\x80\0\0\0\0\0\x20\0"),
        header(name=b"x", kind=b"x", size=b"%011o" % (MAX_META + 1)),
        header(name=b"x", kind=b"L", size=b"%011o" % (MAX_META + 1)),
        pax({"size": b"-5"}) + header(name=b"x"),
        pax({"uid": b"4294967296"}) + header(name=b"x"),
        pax({"path": b"a\0b"}) + header(name=b"x"),
        pax({"path": b"a" * 5000}) + header(name=b"x"),
        pax({"path": b"x"}),
        header(name=b"p", kind=b"x", size=b"00000000005") + b"9 a=b".ljust(512, b"\0"),
        header(name=b"p", kind=b"x", size=b"00000000006") + b"6 abc\n".ljust(512, b"\0"),
        pax({"GNU.sparse.map": b"5,2,1,1", "GNU.sparse.size": b"20"}) + header(name=b"x", size=b"3") + bytes(512),
        pax({"GNU.sparse.map": b"0,2", "GNU.sparse.size": b"1"}) + header(name=b"x", size=b"2") + bytes(512),
        pax({"GNU.sparse.map": b"0,2", "GNU.sparse.size": b"9"}) + header(name=b"x", size=b"3") + bytes(512),
        pax(SPARSE) + header(name=b"x", size=b"%011o" % 512) + b"9" * 512,
        pax(SPARSE) + header(name=b"x", size=b"%011o" % 512) + b"99999\n".ljust(512, b"0"),
    ],
)
def test_malformed_archive_is_refused(data: bytes) -> None:
    with pytest.raises(TarError):
        read(data)


def test_endless_tables_are_read_in_linear_time() -> None:
    """Each fills its megabyte, where joining piece by piece would take minutes."""
    lines = b"50000\n" + b"0\n" * 100_000
    table = lines + bytes(-len(lines) % 512)
    data = pax(SPARSE) + header(name=b"x", size=b"%011o" % len(table)) + table
    assert len(only(data).extents or ()) == 50_000
    sparse = b"".join(b"26 GNU.sparse.offset=0000\n28 GNU.sparse.numbytes=0000\n" for _ in range(18_000))
    data = header(name=b"p", kind=b"x", size=b"%011o" % len(sparse)) + sparse + bytes(-len(sparse) % 512)
    with pytest.raises(TarError, match="not a decimal number"):  # of the size, which no record gives
        read(data + header(name=b"x"), 1 << 20)


@given(st.binary(max_size=3000))
def test_noise_is_refused_or_read(noise: bytes) -> None:
    try:
        read(noise)
    except TarError:
        return


@given(st.data())
def test_damaged_archive_never_surprises(data: st.DataObject) -> None:
    archive = bytearray(pax({"path": b"p", "size": b"3"}) + header(name=b"x", size=b"3") + b"abc" + bytes(509))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        for entry, _ in read(bytes(archive)):
            assert entry.size >= 0
            assert entry.name
    except TarError:
        return


def test_reads_what_tarfile_writes() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(50):
            info = tarfile.TarInfo(f"f{number}")
            info.size = number * 37
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
    found = read(stream.getvalue(), 4096)
    assert [(entry.kind, text) for entry, text in found] == [(kinds.FILE, bytes([n]) * (n * 37)) for n in range(50)]
    assert kinds.HARDLINK not in {entry.kind for entry, _ in found}


class TestNames:
    """Two spellings of one name: the one that counts is Docker's."""

    def test_long_name_of_gnu_wins_over_pax(self) -> None:
        long = header(name=b"././@LongLink", kind=b"L", size=b"00000000004") + b"gnu\0".ljust(512, b"\0")
        for data in (pax({"path": b"pax"}) + long, long + pax({"path": b"pax"})):
            assert only(data + header(name=b"x") + bytes(1024)).name == b"gnu"

    def test_prefix_is_ustars_whatever_its_version(self) -> None:
        for magic in (b"ustar\x0000", b"ustar\0 \0", b"ustar\0\0\0"):
            assert only(header(name=b"x", magic=magic, prefix=b"dir") + bytes(1024)).name == b"dir/x"

    def test_prefix_of_star_is_shorter(self) -> None:
        block = header(name=b"x", prefix=b"d" * 131 + b"00000000001 ", trailer=b"tar\0")
        assert only(block + bytes(1024)).name == b"d" * 131 + b"/x"

    def test_gnu_has_times_in_the_place_of_a_prefix(self) -> None:
        block = header(name=b"x", magic=b"ustar  \0", prefix=b"13700000000\x0013700000000\0")
        assert only(block + bytes(1024)).name == b"x"

    def test_prefix_that_old_go_wrote_as_gnu(self) -> None:
        assert only(header(name=b"x", magic=b"ustar  \0", prefix=b"usr/lib") + bytes(1024)).name == b"usr/lib/x"

    def test_only_old_files_become_directories_by_a_slash(self) -> None:
        assert only(header(name=b"d/", kind=b"\0") + bytes(1024)).kind == b"5"
        assert only(header(name=b"d/", kind=b"0") + bytes(1024)).kind == b"0"


class TestEnds:
    def test_last_padding_may_be_missing(self) -> None:
        assert [(entry.name, data) for entry, data in read(header(name=b"x", size=b"00000000003") + b"abc")] == [
            (b"x", b"abc")
        ]

    def test_empty_block_in_the_midst_is_refused(self) -> None:
        with pytest.raises(TarError, match="in the midst"):
            read(header(name=b"x") + bytes(512) + header(name=b"y") + bytes(1024))

    def test_sparse_map_of_another_length_is_refused(self) -> None:
        records = {"GNU.sparse.size": b"9", "GNU.sparse.numblocks": b"3", "GNU.sparse.map": b"0,2"}
        with pytest.raises(TarError, match="is not whole"):
            read(pax(records) + header(name=b"x", size=b"00000000002") + b"ab".ljust(512, b"\0") + bytes(1024))

    def test_sparse_file_without_a_map_is_an_ordinary_one(self) -> None:
        records = {"GNU.sparse.size": b"4096", "GNU.sparse.numblocks": b"0", "GNU.sparse.map": b""}
        assert only(pax(records) + header(name=b"x") + bytes(1024)).length == 0

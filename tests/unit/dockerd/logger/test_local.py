import asyncio
import io
import struct
from pathlib import Path
from typing import BinaryIO, cast

from protos.logdriver.entry_pb2 import LogAttr, LogEntry, PartialLogEntryMetadata
from services.dockerd.logger import local
from services.dockerd.logger.query import Query


def record(text: str, time: int, **fields: object) -> bytes:
    data = LogEntry(source="stdout", time_nano=time, line=text.encode(), **fields).SerializeToString()  # type: ignore[arg-type]
    length = struct.pack(">I", len(data))
    return length + data + length


def read(path: Path, query: Query) -> bytes:
    async def all_of_it() -> bytes:
        return b"".join([chunk async for chunk in local.read(path, query, None)])

    return asyncio.run(all_of_it())


def log(tmp_path: Path, *records: bytes) -> Path:
    path = tmp_path / "container.log"
    path.write_bytes(b"".join(records))
    return path


def test_lines_get_their_newline_back(tmp_path: Path) -> None:
    piece = PartialLogEntryMetadata(id="x", ordinal=1)
    end = PartialLogEntryMetadata(id="x", ordinal=2, last=True)
    path = log(tmp_path, record("one", 1), record("tw", 2, partial=True, partial_log_metadata=piece),
               record("o", 2, partial=True, partial_log_metadata=end), record("", 3))
    assert read(path, Query(framed=False)) == b"one\ntwo\n\n"


def test_stamps_and_details_stand_before(tmp_path: Path) -> None:
    path = log(tmp_path, record("x", 10**9, attrs=[LogAttr(key="b", value="2"), LogAttr(key="a", value="1 1")]))
    shown = read(path, Query(framed=False, timestamps=True, details=True))
    assert shown == b"1970-01-01T00:00:01.000000000Z a=1+1,b=2 x\n"


def test_times_bound_what_is_read(tmp_path: Path) -> None:
    path = log(tmp_path, *(record(str(at), at) for at in range(1, 6)))
    assert read(path, Query(framed=False, since=2, until=4)) == b"2\n3\n4\n"


def test_tails_reach_into_older_files(tmp_path: Path) -> None:
    path = log(tmp_path, record("3", 3), record("4", 4))
    (tmp_path / "container.log.1").write_bytes(record("1", 1) + record("2", 2))
    assert read(path, Query(framed=False, tail=3)) == b"2\n3\n4\n"
    assert read(path, Query(framed=False, tail=0)) == b""
    assert read(path, Query(framed=False, tail=9)) == b"1\n2\n3\n4\n"


def test_records_are_cut_wherever_a_read_ends() -> None:
    data = record("one", 1) + record("two", 2)
    layout = local.Layout()
    for place in range(len(data) + 1):
        first, rest = layout.cut(data[:place])
        second, left = layout.cut(rest + data[place:])
        assert [layout.time(each) for each in first + second] == [1, 2] and left == b""


def test_what_is_no_log_ends_the_reading() -> None:
    layout = local.Layout()
    assert layout.cut(b"\xff" * 100) == ([], b"")
    assert layout.last(cast(BinaryIO, io.BytesIO(b"\xff" * 100)), 3) == (100, 0)
    assert layout.render([b"\xff"], Query()) == b"" and layout.time(b"\xff") == 0

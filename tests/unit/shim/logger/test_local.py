import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protos.logdriver.entry_pb2 import LogEntry
from services.shim.logger.driver import Record
from services.shim.logger.file import LogFile
from services.shim.logger.local import Layout
from services.shim.logger.options import Options
from services.shim.loop import Future


def at_once(body: Callable[[], None]) -> Future[Any]:
    body()
    done: Future[Any] = Future()
    done.set(None)
    return done


def open_log(tmp_path: Path, attributes: dict[str, str] | None = None, **options: Any) -> LogFile:
    return LogFile(str(tmp_path / "log"), Options(**options), Layout(attributes or {}), at_once)


def entries(data: bytes) -> list[LogEntry]:
    found, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found.append(LogEntry.FromString(data[place + 4 : place + 4 + length]))
        assert struct.unpack_from(">I", data, place + 4 + length) == (length,)
        place += length + 8
    return found


def everything(log: LogFile) -> list[Record]:
    replay, found = log.replay(), []
    while (records := replay.read()) is not None:
        found += records
    replay.close()
    return found


def test_writes_dockers_records(tmp_path: Path) -> None:
    log = open_log(tmp_path, {"role": "db"})
    log.write("stdout", b"a\n\n", 1)
    log.write("stderr", b"e\n", 2)
    log.close()
    found = entries((tmp_path / "log").read_bytes())
    assert [(each.source, each.line, each.time_nano) for each in found] == [
        ("stdout", b"a", 1), ("stdout", b"", 1), ("stderr", b"e", 2)
    ]
    assert [(each.key, each.value) for each in found[0].attrs] == [("role", "db")] and log.written == 3


def test_the_wire_is_dockers(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write("stdout", b"hi\n", 5)
    log.close()
    record = b"\x0a\x06stdout\x10\x05\x1a\x02hi"
    assert (tmp_path / "log").read_bytes() == b"\0\0\0\x0e" + record + b"\0\0\0\x0e"


def test_pieces_of_a_long_line_belong_together(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write("stdout", b"x" * 40000 + b"\nshort\n", 1)
    log.close()
    found = entries((tmp_path / "log").read_bytes())
    pieces = [each.partial_log_metadata for each in found[:3]]
    assert [len(each.line) for each in found] == [16384, 16384, 40000 - 32768, 5]
    assert [(each.ordinal, each.last) for each in pieces] == [(1, False), (2, False), (3, True)]
    assert len({each.id for each in pieces}) == 1 and len(pieces[0].id) == 64
    assert [each.partial for each in found] == [True, True, True, False]


def test_files_end_with_the_record_that_fills_them(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=3)
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(10)), 1)
    log.close()
    sizes = [len(entries((tmp_path / name).read_bytes())) for name in ("log.2", "log.1", "log")]
    assert sizes == [3, 3, 1]
    assert [text for _, text in everything(log)] == [b"line %d\n" % number for number in range(3, 10)]


def test_rotated_files_are_compressed_and_replayed(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=3, compress=True)
    log.write("stderr", b"".join(b"line %d\n" % number for number in range(9)), 1)
    assert {path.name for path in tmp_path.iterdir()} == {"log", "log.1.gz", "log.2.gz"}
    assert everything(log) == [("stderr", b"line %d\n" % number) for number in range(9)]
    log.close()


def test_a_torn_record_is_found() -> None:
    layout = Layout({})
    log = LogEntry(source="stdout", line=b"abc").SerializeToString()
    data = (struct.pack(">I", len(log)) + log + struct.pack(">I", len(log))) * 2
    half = len(data) // 2
    assert [layout.whole(data, done) for done in (0, half - 1, half, len(data) - 1, len(data))] == [
        0, 0, half, half, len(data)
    ]
    assert layout.count(data) == 2
    assert layout.decode(data[:-1]) == ([("stdout", b"abc\n")], data[half:-1])
    assert layout.decode(b"\xff" * 20) == ([], b"")

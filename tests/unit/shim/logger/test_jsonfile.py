import gzip
import json
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.shim.logger.jsonfile import JsonFile
from services.shim.logger.options import Options
from services.shim.loop import Future

SECOND = 10**9


class Background:
    """Does the work when the test says so."""

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], None], Future[Any]]] = []

    def __call__(self, body: Callable[[], None]) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append((body, future))
        return future

    def finish(self) -> None:
        body, future = self.work.pop(0)
        body()
        future.set(None)


def log_of(path: Path) -> str:
    return "".join(json.loads(line)["log"] for line in path.read_text().splitlines())


def open_log(tmp_path: Path, **options: Any) -> JsonFile:
    return JsonFile(str(tmp_path / "log"), Options(**options), {}, Background())


def test_writes_dockers_lines(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.write("stdout", b"a\nb", SECOND)
    log.write("stderr", b"e\n", 2 * SECOND)
    log.end("stdout", 3 * SECOND)
    log.close()
    assert (tmp_path / "log").read_text() == (
        '{"log":"a\\n","stream":"stdout","time":"1970-01-01T00:00:01Z"}\n'
        '{"log":"e\\n","stream":"stderr","time":"1970-01-01T00:00:02Z"}\n'
        '{"log":"b","stream":"stdout","time":"1970-01-01T00:00:03Z"}\n'
    )
    assert log.written == 3
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_appends_to_what_is_there(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        log = open_log(tmp_path)
        log.write("stdout", text, 1)
        log.close()
    assert log_of(tmp_path / "log") == "first\nsecond\n"


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        open_log(tmp_path)


def test_file_ends_with_the_line_that_fills_it(tmp_path: Path) -> None:
    line = b'{"log":"0\\n","stream":"stdout","time":"1970-01-01T00:00:01Z"}\n'
    log = open_log(tmp_path, max_size=2 * len(line) - 1, max_files=3)
    log.write("stdout", b"".join(b"%d\n" % number for number in range(9)), SECOND)
    log.close()
    assert log_of(tmp_path / "log") == "8\n"
    assert log_of(tmp_path / "log.1") == "6\n7\n"
    assert log_of(tmp_path / "log.2") == "4\n5\n"
    assert not (tmp_path / "log.3").exists()


def test_turns_over_line_by_line_as_in_a_block(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    block, single = (open_log(tmp_path / name, max_size=300, max_files=4) for name in ("a", "b"))
    lines = [b"line %d\n" % number for number in range(40)]
    block.write("stdout", b"".join(lines), SECOND)
    for line in lines:
        single.write("stdout", line, SECOND)
    block.close()
    single.close()
    for name in ("log", "log.1", "log.2", "log.3"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_one_file_starts_over(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=70, max_files=1)
    log.write("stdout", b"a\nb\nc\n", SECOND)
    log.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]
    assert log_of(tmp_path / "log") == "c\n"


def test_compression_holds_back_and_catches_up(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=5, compress=True)
    background = log._background
    assert isinstance(background, Background)
    log.write("stdout", b"1\n2\n", SECOND)
    assert log.blocked is None
    log.write("stdout", b"3\n4\n", 2 * SECOND)
    blocked = log.blocked
    assert blocked is not None
    background.finish()
    assert blocked.done
    while background.work:
        background.finish()
    log.close()
    assert log.blocked is None
    assert log_of(tmp_path / "log") == "4\n"
    texts = [json.loads(gzip.decompress((tmp_path / f"log.{number}.gz").read_bytes()))["log"] for number in (1, 2, 3)]
    assert texts == ["3\n", "2\n", "1\n"]
    assert not list(tmp_path.glob("*.tmp"))


def test_compressed_file_names_its_last_time(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=2, compress=True)
    log.write("stdout", b"1\n2\n", SECOND)
    assert isinstance(log._background, Background)
    log._background.finish()
    log.close()
    data = (tmp_path / "log.1.gz").read_bytes()
    (size,) = struct.unpack("<H", data[10:12])
    assert json.loads(data[12 : 12 + size]) == {"lastTime": "1970-01-01T00:00:01Z"}


def test_close_writes_what_was_held_back(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=3, compress=True)
    log.write("stdout", b"1\n2\n3\n4\n", SECOND)
    assert log.blocked is not None
    log.close()
    assert log_of(tmp_path / "log") == "2\n3\n4\n"


def test_full_buffer_drops_where_nobody_waits(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=3, compress=True, buffer=200)
    log.write("stdout", b"1\n2\n", SECOND)
    for number in range(3, 9):
        log.write("stdout", b"%d\n" % number, SECOND)
    assert log.blocked is None
    log.close()
    assert log_of(tmp_path / "log") == "2\n3\n4\n5\n"
    assert log.dropped == 3


def test_cut_short_compression_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("plain")
    (tmp_path / "log.2.gz").write_text("packed")
    log = open_log(tmp_path, max_size=10, max_files=4)
    log.write("stdout", b"1\n2\n", SECOND)
    log.close()
    assert (tmp_path / "log.2").read_text() == "plain"
    assert (tmp_path / "log.3.gz").read_text() == "packed"


def test_full_disk_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    log = JsonFile("/dev/full", Options(), {}, Background())
    log.write("stdout", b"a\nb\n", SECOND)
    log.write("stdout", b"c\n", SECOND)
    log.close()
    assert (log.written, log.dropped) == (0, 3)
    assert caplog.text.count("lines are dropped") == 1


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_no_torn_line_stays(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    log = open_log(tmp_path)
    file_limit(150)
    log.write("stdout", b"a\nb\nc\nd\n", SECOND)
    log.write("stdout", b"e\n", SECOND)
    assert (log.written, log.dropped) == (2, 3)
    file_limit(1 << 20)
    log.write("stdout", b"f\n", SECOND)
    log.close()
    assert log_of(tmp_path / "log") == "a\nb\nf\n"


def test_failing_turn_over_keeps_writing(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=10, max_files=2)
    (tmp_path / "log.1").mkdir()
    log.write("stdout", b"a\nb\n", SECOND)
    log.close()
    assert log_of(tmp_path / "log") == "a\nb\n"


def read_all(log: JsonFile) -> bytes:
    replay = log.replay()
    got = b""
    while (records := replay.read()) is not None:
        got += b"".join(data for _, data in records)
    replay.close()
    return got


def test_replay_reads_oldest_first(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=3, compress=True)
    for text in (b"1\n", b"2\n", b"3\n"):
        log.write("stdout", text, SECOND)
        while isinstance(log._background, Background) and log._background.work:
            log._background.finish()
    assert read_all(log) == b"1\n2\n3\n"
    log.close()


def test_replay_follows_a_turn_over(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_size=60, max_files=9)
    log.write("stdout", b"1\n", SECOND)
    replay = log.replay()
    assert replay.read() == [("stdout", b"1\n")]
    log.write("stdout", b"2\n", SECOND)
    log.write("stderr", b"3\n", SECOND)
    assert replay.read() == [("stdout", b"2\n")]
    assert replay.read() == [("stderr", b"3\n")]
    assert replay.read() is None
    replay.close()
    log.close()

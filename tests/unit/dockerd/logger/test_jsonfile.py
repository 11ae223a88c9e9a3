import asyncio
import gzip
import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from services.dockerd.logger import jsonfile
from services.dockerd.logger.query import Query
from tests.unit.dockerd.waiting import until

PLAIN = Query(framed=False)


def record(number: int) -> bytes:
    at = datetime.fromtimestamp(1714557600 + number / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"log": f"{number}\n", "stream": "stdout", "time": at}).encode() + b"\n"


def write(path: Path, *numbers: int) -> None:
    with path.open("ab") as file:
        file.write(b"".join(map(record, numbers)))


def rotate(path: Path, keep: int, *, compress: bool = False) -> None:
    """As the shim does it: the oldest goes, all others move on, the newest of them is perhaps compressed."""
    suffix = ".gz" if compress else ""
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}{suffix}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number + 1}{suffix}"))
    path.rename(path.with_name(path.name + ".1"))
    path.touch()
    if compress:
        plain = path.with_name(path.name + ".1")
        plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x-json.log"


def read(path: Path, query: Query = PLAIN) -> list[int]:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in jsonfile.read(path, query, None)])

    return [int(each) for each in asyncio.run(collect()).split()]


def test_no_file_is_an_empty_log(path: Path) -> None:
    assert read(path) == []


@pytest.mark.parametrize("compress", [False, True])
def test_rotated_files_come_first(path: Path, compress: bool) -> None:
    for number in range(4):
        write(path, number * 2, number * 2 + 1)
        rotate(path, 3, compress=compress)
    write(path, 8)
    assert read(path) == [2, 3, 4, 5, 6, 7, 8]
    assert read(path, Query(framed=False, tail=4)) == [5, 6, 7, 8]
    assert read(path, Query(framed=False, tail=3)) == [6, 7, 8]
    assert read(path, Query(framed=False, tail=99)) == [2, 3, 4, 5, 6, 7, 8]
    assert read(path, Query(framed=False, tail=0)) == []


def test_other_files_are_not_the_logs(path: Path) -> None:
    write(path, 1)
    for name in (".bak", ".1.tmp", ".x.gz", ".-1"):
        path.with_name(path.name + name).write_bytes(record(0))
    assert read(path) == [1]


def test_an_unfinished_line_is_left_for_later(path: Path) -> None:
    write(path, 1, 2)
    with path.open("ab") as file:
        file.write(b'{"log":"3')
    assert read(path) == [1, 2]


def test_last_lines_agree_with_counting(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(200):
        lines = [bytes(chance.choices(b"ab", k=chance.choice((0, 1, 5, 70_000)))) for _ in range(chance.randint(0, 6))]
        text = b"".join(line + b"\n" for line in lines)
        wanted = chance.randint(0, 8)
        place, found = jsonfile.last_lines(cast(BinaryIO, io.BytesIO(text)), wanted)
        assert found == min(wanted, len(lines))
        assert text[place:] == b"".join(line + b"\n" for line in lines[len(lines) - found:])


class Follower:
    """Reads a growing log; `sees` waits until a number has come."""

    def __init__(self, path: Path, query: Query = PLAIN) -> None:
        self.got: list[int] = []
        self.ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._run(path, query))

    async def _run(self, path: Path, query: Query) -> None:
        async for chunk in jsonfile.read(path, query, self.ended):
            self.got += [int(each) for each in chunk.split()]

    async def sees(self, number: int) -> None:
        await until(lambda: number in self.got)

    async def end(self) -> list[int]:
        self.ended.set_result(None)
        await asyncio.wait_for(self._task, 10)
        return self.got


def test_a_follower_gets_what_is_written(path: Path) -> None:
    async def run() -> list[int]:
        write(path, 1)
        follower = Follower(path)
        await follower.sees(1)
        write(path, 2, 3)
        await follower.sees(3)
        write(path, 4)
        return await follower.end()

    assert asyncio.run(run()) == [1, 2, 3, 4]


def test_a_follower_may_begin_before_the_file(path: Path) -> None:
    async def run() -> list[int]:
        follower = Follower(path)
        await asyncio.sleep(0)
        write(path, 1)
        await follower.sees(1)
        return await follower.end()

    assert asyncio.run(run()) == [1]


def test_what_is_written_at_the_end_is_read(path: Path) -> None:
    async def run() -> list[int]:
        write(path, 1)
        follower = Follower(path)
        await follower.sees(1)
        write(path, *range(2, 5000))
        return await follower.end()

    assert asyncio.run(run()) == list(range(1, 5000))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_a_follower_survives_rotations(path: Path, compress: bool, pause: float) -> None:
    async def run() -> list[int]:
        write(path, 0)
        follower = Follower(path)
        await follower.sees(0)
        for number in range(1, 200):
            write(path, number)
            if number % 7 == 0:
                await follower.sees(number - 6)
                rotate(path, 3, compress=compress)
            await asyncio.sleep(pause)
        return await follower.end()

    assert asyncio.run(run()) == list(range(200))


def test_follow_with_a_tail_begins_at_the_tail(path: Path) -> None:
    async def run() -> list[int]:
        write(path, 1, 2, 3)
        follower = Follower(path, Query(framed=False, tail=1))
        await follower.sees(3)
        write(path, 4)
        return await follower.end()

    assert asyncio.run(run()) == [3, 4]


def test_until_ends_a_follower(path: Path) -> None:
    async def run() -> list[int]:
        write(path, 0)
        follower = Follower(path, Query(framed=False, until=(1714557600 * 1000 + 5) * 1_000_000))
        await follower.sees(0)
        write(path, 5, 6, 7)
        await asyncio.wait_for(follower._task, 10)
        return follower.got

    assert asyncio.run(run()) == [0, 5]


def test_descriptors_are_given_back(path: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once(action: Callable[[], object]) -> int:
        action()
        return count()

    async def run() -> None:
        write(path, 1)
        follower = Follower(path)
        await follower.sees(1)
        rotate(path, 2)
        write(path, 2)
        await follower.sees(2)
        await follower.end()

    before = once(lambda: asyncio.run(run()))
    assert once(lambda: asyncio.run(run())) == before

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format

from protos.streams.v1 import streams_pb2
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from tests.unit.shim.conftest import Run
from tests.unit.shim.streams.peers import Attached, config

OWNER = [sys.executable, "-m", "services.shim", "streams"]


def log_of(path: Path) -> str:
    return "".join(json.loads(line)["log"] for line in path.read_text().splitlines())


def written(wanted: streams_pb2.Config, path: Path) -> str:
    (path / "config.json").write_text(json_format.MessageToJson(wanted))
    return str(path / "config.json")


class Logged:
    """A logger as a foreign shim starts it: descriptors 3, 4 and 5."""

    def __init__(self, reaper: Reaper, path: str) -> None:
        (out, self.stdout), (err, self.stderr), (ready, told) = (os.pipe() for _ in range(3))
        null = os.open(os.devnull, os.O_RDWR)
        self.owner = reaper.fork_exec([*OWNER, path], (null, null, 2, out, err, told), os.environ, lambda: None, 2)
        for fd in (null, out, err, told):
            os.close(fd)
        assert os.read(ready, 1) == b"\0"
        os.close(ready)

    def exit(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)


@pytest.fixture
def logged(reaper: Reaper, tmp_path: Path) -> Iterator[Callable[..., Logged]]:
    made: list[Logged] = []

    def make(**fields: object) -> Logged:
        made.append(Logged(reaper, written(config(tmp_path, **fields), tmp_path)))
        return made[-1]

    yield make
    for each in made:
        reaper.signal(each.owner.pid, signal.SIGKILL)


async def status(process: Logged) -> int:
    return (await process.owner.exit).status


def test_logs_and_serves_until_the_end(
    loop: Loop, run: Run, tmp_path: Path, logged: Callable[..., Logged]
) -> None:
    process = logged()

    async def story() -> None:
        client = await Attached(loop, config(tmp_path)).listening()
        os.write(process.stdout, b"out\n")
        assert await client.read(4) == b"out\n"
        os.write(process.stderr, b"err\n")
        process.exit()
        assert await client.rest() == b"err\n"
        assert await client.reason() == streams_pb2.EXITED
        client.close()

    run(story())
    assert run(status(process)) == 0
    assert log_of(tmp_path / "log") == "out\nerr\n"


def test_term_means_the_streams_have_ended(run: Run, tmp_path: Path, logged: Callable[..., Logged]) -> None:
    process = logged()
    os.write(process.stdout, b"last\n")
    os.kill(process.owner.pid, signal.SIGTERM)
    assert run(status(process)) == 0
    assert log_of(tmp_path / "log") == "last\n"
    process.exit()


def test_fifos_give_stdin_and_outlive_the_starter(loop: Loop, run: Run, tmp_path: Path) -> None:
    path = written(config(tmp_path, open_stdin=True, stdin_once=True), tmp_path)
    fifos = tmp_path / "fifos"
    assert subprocess.run([*OWNER, path, str(fifos)], timeout=20).returncode == 0
    stdin = os.open(fifos / "stdin", os.O_RDONLY | os.O_NONBLOCK)
    stdout, stderr = (os.open(fifos / name, os.O_WRONLY) for name in ("stdout", "stderr"))

    async def story() -> None:
        client = await Attached(loop, config(tmp_path), stdin=True).listening()
        client.socket.send(b"typed")
        while True:
            await loop.sleep(0.01)
            try:
                assert os.read(stdin, 100) == b"typed"
                break
            except BlockingIOError:
                continue
        os.write(stdout, b"out")
        os.close(stdout)
        os.close(stderr)
        assert await client.rest() == b"out"
        client.close()

    run(story())
    os.close(stdin)


def test_broken_configuration_fails(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    done = subprocess.run([*OWNER, str(tmp_path / "config.json"), str(tmp_path / "f")], capture_output=True, timeout=20)
    assert done.returncode == 1

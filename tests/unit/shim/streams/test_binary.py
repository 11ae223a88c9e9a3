import os
from pathlib import Path

import pytest

from protos.errdefs import Unavailable
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from services.shim.streams.factory import Request, open_stdio
from services.shim.streams.stdio import Stdio
from tests.unit.shim.conftest import Run
from tests.unit.shim.streams.peers import Process

LOGGER = """#!/bin/sh
echo "$CONTAINER_NAMESPACE/$CONTAINER_ID $*" > {path}/who
exec 5>&-
cat <&3 > {path}/out
cat <&4 > {path}/err
"""


def open_logger(loop: Loop, reaper: Reaper, tmp_path: Path, script: str, terminal: bool = False) -> Stdio:
    logger = tmp_path / "logger"
    logger.write_text(script.format(path=tmp_path))
    logger.chmod(0o755)
    uri = f"binary://{logger}?first=1&second="
    return loop.run_until(loop.spawn(open_stdio(loop, reaper, Request("ns", "c", "", uri, uri, terminal))))


async def stdio_ended(stdio: Stdio) -> None:
    await stdio.ended


def test_process_writes_to_the_logger(loop: Loop, run: Run, reaper: Reaper, tmp_path: Path) -> None:
    stdio = open_logger(loop, reaper, tmp_path, LOGGER)
    process = Process(stdio.child())
    stdio.begin(None)
    os.write(process.stdout, b"out\n")
    os.write(process.stderr, b"err\n")
    process.exit()
    run(stdio_ended(stdio))
    stdio.close()
    assert (tmp_path / "who").read_text() == "ns/c first 1 second\n"
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("out\n", "err\n")


def test_terminal_is_copied_to_the_logger(loop: Loop, run: Run, reaper: Reaper, tmp_path: Path) -> None:
    stdio = open_logger(loop, reaper, tmp_path, LOGGER, terminal=True)
    master, slave = os.openpty()
    os.set_blocking(master, False)
    stdio.begin(master)
    os.write(slave, b"out\n")
    os.close(slave)
    run(stdio_ended(stdio))
    stdio.close()
    assert (tmp_path / "out").read_bytes() == b"out\r\n"


def test_close_ends_a_logger_that_stays(loop: Loop, run: Run, reaper: Reaper, tmp_path: Path) -> None:
    stdio = open_logger(loop, reaper, tmp_path, "#!/bin/sh\nexec 5>&-\nexec sleep 60\n")
    stdio.child()
    stdio.begin(None)
    stdio.close()
    run(stdio_ended(stdio))


def test_logger_that_fails_is_reported(loop: Loop, reaper: Reaper, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="before it was ready"):
        open_logger(loop, reaper, tmp_path, "#!/bin/sh\nexit 3\n")


def test_missing_logger_is_reported(loop: Loop, reaper: Reaper, tmp_path: Path) -> None:
    uri = f"binary://{tmp_path}/none"
    with pytest.raises(Unavailable, match="cannot be executed"):
        loop.run_until(loop.spawn(open_stdio(loop, reaper, Request("ns", "c", "", uri, uri, False))))

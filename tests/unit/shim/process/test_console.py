import os
import socket
from pathlib import Path

import pytest

from services.shim.loop import Loop
from services.shim.process.console import Console
from tests.unit.shim.conftest import Run


async def master_of(console: Console) -> int:
    return await console.master


def test_master_arrives(loop: Loop, run: Run, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    console = Console(loop, deep)
    assert len(console.address) < 108
    ours, slave = os.openpty()
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.connect(console.address)
        socket.send_fds(runtime, [b"/dev/ptmx"], [ours])
        master = run(master_of(console))
    os.close(ours)
    os.write(slave, b"x")
    assert os.read(master, 10) == b"x"
    assert not os.get_blocking(master)
    console.close()
    assert list(deep.iterdir()) == []
    os.close(master)
    os.close(slave)


def test_runtime_without_a_terminal_fails(loop: Loop, run: Run, tmp_path: Path) -> None:
    console = Console(loop, tmp_path)
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.connect(console.address)
        runtime.send(b"nothing")
        with pytest.raises(ConnectionError):
            run(master_of(console))
    console.close()


def test_nothing_stays_open(loop: Loop, tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    Console(loop, tmp_path).close()
    assert set(Path("/proc/self/fd").iterdir()) == before

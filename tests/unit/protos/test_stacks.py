"""Dumps on SIGUSR1, of processes that are stuck in one way or another."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.wait import until

ASKED = "from protos import stacks; stacks.on_request({path!r}); print('ready', flush=True); {stuck}"
ALWAYS = """
import asyncio, threading, time
from protos import stacks
async def main():
    stacks.always({path!r})
    asyncio.create_task(asyncio.sleep(99), name="sleeper")
    print("ready", flush=True)
    {stuck}
asyncio.run(main())
"""
SPIN = "exec('while True: pass')"
CASES = [
    pytest.param(ASKED, SPIN, id="lean, spinning"),
    pytest.param(ASKED, "import select; select.select([], [], [])", id="lean, waiting"),
    pytest.param(ALWAYS, SPIN, id="asyncio, spinning"),
    pytest.param(ALWAYS, "lock = threading.Lock(); lock.acquire(); lock.acquire()", id="asyncio, locked"),
    pytest.param(ALWAYS, "await asyncio.sleep(99)", id="asyncio, idle"),
]


@pytest.mark.parametrize(("program", "stuck"), CASES)
def test_stuck_process_tells_where_it_is_and_goes_on(tmp_path: Path, program: str, stuck: str) -> None:
    dump = tmp_path / "below" / "x.stacks.log"
    dump.parent.mkdir()
    text = program.format(path=str(dump), stuck=stuck)
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"ready\n"
            until(lambda: asked(child, dump) >= 2, "it dumps more than once")
            assert child.poll() is None
            assert dump.stat().st_mode & 0o777 == 0o600
            if "idle" in stuck or stuck.startswith("await"):
                until(lambda: "Task sleeper" in dump.read_text(), "tasks are named")
        finally:
            child.kill()


def asked(child: "subprocess.Popen[bytes]", dump: Path) -> int:
    """How many dumps there are after another request; one that comes within the last one's handler is lost."""
    child.send_signal(signal.SIGUSR1)
    return dump.read_text().count("most recent call first") if dump.exists() else 0

"""What a transfer has left free in the heap goes back to the kernel."""

import subprocess
import sys

import pytest

MEGABYTE = 1 << 20
SCRIPT = """
import asyncio, pathlib
from protos import heap

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) << 12

async def main():
    blocks = [bytes([1]) * 4000 for _ in range(10_000)]
    end = blocks[-1]  # lies on top, so that free() alone gives nothing back
    blocks.clear()
    before = resident()
    {trim}
    print(before - resident())

asyncio.run(main())
"""
SOON = """
    heap.trim_soon()
    async with asyncio.timeout(30):
        while before - resident() < 16 << 20:
            await asyncio.sleep(0.05)
"""


@pytest.mark.parametrize(("trim", "given"), [("pass", False), ("heap.trim()", True), (SOON.strip(), True)])
def test_free_pages_go_back_only_when_trimmed(trim: str, given: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(trim=trim)], check=True, capture_output=True, text=True, timeout=60)
    assert (int(done.stdout) > 16 * MEGABYTE) is given

"""Waiting for a directory's files to change (inotify), on asyncio's loop."""

import asyncio
import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

IN_MODIFY: Final = 0x2
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_ONLYDIR: Final = 0x01000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


class Watch:
    """Changes in one directory; `changed` waits for the next, those since the last call included."""

    def __init__(self, directory: Path) -> None:
        self._fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._event = asyncio.Event()
        mask = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR
        try:
            _check(_libc.inotify_add_watch(self._fd, os.fsencode(directory), mask), str(directory))
        except OSError:
            os.close(self._fd)
            raise
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 65536)
        self._event.set()

    async def changed(self) -> None:
        await self._event.wait()
        self._event.clear()

    def poke(self) -> None:
        """Make `changed` return."""
        self._event.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

"""Telling whoever started us how it goes: systemd's sd_notify, its watchdog, and a descriptor for simpler parents."""

import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

READY_FD: Final = "DOCKERD_READY_FD"
"""Environment: a descriptor that gets `ready` or `failed: <reason>`, one line. NOTIFY_SOCKET is honoured too."""


class Teller:
    """Called with `ready`, `reloading`, `stopping` or `failed: <reason>`; the descriptor hears the first word alone.

    After `reloading` comes `ready` again. That nobody listens any more changes nothing for us.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._descriptor = int(environment.pop(READY_FD, "-1"))
        self._address = environment.pop("NOTIFY_SOCKET", "")
        self.interval = _interval(environment)
        """Seconds between signs of life; 0 where nobody waits for any."""

    def __call__(self, word: str) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.write(self._descriptor, word.replace("\n", " ").encode() + b"\n")
            os.close(self._descriptor)
            self._descriptor = -1
        self._send(_message(word))

    def _send(self, text: str) -> None:
        if not self._address:
            return
        import socket  # not before docker-containerd has been started: __main__.py

        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(1)  # a service manager that hangs is not waited for
            channel.sendto(text.encode(), address)

    async def live(self) -> None:
        """Signs of life for the watchdog, from the event loop: one that is stuck gives none."""
        import asyncio

        while self.interval and self._address:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.interval)


def _message(word: str) -> str:
    if word == "ready":
        return "READY=1\nSTATUS="
    if word == "reloading":
        return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
    if word == "stopping":
        return "STOPPING=1"
    return "STATUS=" + word.replace("\n", " ")


def _interval(environment: MutableMapping[str, str]) -> float:
    """Half of WATCHDOG_USEC, if it is meant for this process."""
    limit, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    if not limit.isdecimal() or pid not in ("", str(os.getpid())):
        return 0
    return int(limit) / 2_000_000

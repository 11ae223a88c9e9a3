"""Network namespaces of the tests: an engine lives in one, its neighbours in others; sockets are opened inside them.

A thread enters a namespace and ends there, so the process itself never moves.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x40000000
Value = TypeVar("Value")
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """A named network namespace with its loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/run/netns") / name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")

    def delete(self) -> None:
        if self.path.exists():
            ip("netns", "delete", self.name)

    def ip(self, *words: str) -> str:
        return ip("-n", self.name, *words)

    def command(self, *words: str) -> list[str]:
        """The command that runs `words` here; the process keeps its id, since nsenter executes it."""
        return ["nsenter", f"--net={self.path}", "--", *words]

    def run(self, *words: str, stdin: bytes = b"", timeout: float = 20) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self.command(*words), input=stdin, capture_output=True, timeout=timeout)

    def inode(self) -> int:
        return self.path.stat().st_ino

    def call(self, function: Callable[[], Value]) -> Value:
        """Runs `function` in a thread inside the namespace."""
        answers: list[Value] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if LIBC.setns(descriptor, CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns", str(self.path))
                finally:
                    os.close(descriptor)
                answers.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    def connect(self, host: str, port: int, timeout: float = 20) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def open_it() -> socket.socket:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            try:
                sock.connect((host, port))
            except OSError:
                sock.close()
                raise
            return sock

        return self.call(open_it)

    def udp(self, timeout: float = 20) -> socket.socket:
        sock = self.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(timeout)
        return sock

    def listen(self, host: str, port: int) -> socket.socket:
        def open_it() -> socket.socket:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, port))
            except OSError:
                sock.close()
                raise
            sock.listen()
            return sock

        return self.call(open_it)


def join(first: Namespace, second: Namespace, subnet: str) -> None:
    """A veth pair between the two, named `uplink` on both sides: `subnet`.1 and `subnet`.2."""
    first.ip("link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", second.name)
    for number, side in enumerate((first, second), 1):
        side.ip("address", "add", f"{subnet}.{number}/24", "dev", "uplink")
        side.ip("link", "set", "uplink", "up")


@contextmanager
def astray(first: Namespace, second: Namespace, subnet: str) -> Iterator[None]:
    """`second` sends what is for loopback to `first`, which takes it, as if somebody had set route_localnet."""
    own = ("127.0.0.1", "127.0.0.0/8")
    _switch(first, second, "1")
    for each in own:
        second.ip("route", "delete", "local", each, "dev", "lo", "table", "local")
    second.ip("route", "add", "127.0.0.0/8", "via", f"{subnet}.1", "src", f"{subnet}.2")
    try:
        yield
    finally:
        second.ip("route", "delete", "127.0.0.0/8")
        for each in own:
            second.ip("route", "add", "local", each, "dev", "lo", "table", "local", "scope", "host", "src", "127.0.0.1")
        _switch(first, second, "0")


def _switch(first: Namespace, second: Namespace, value: str) -> None:
    home = Path("/proc/sys/net/ipv4/conf/uplink")
    for side, names in ((first, ["route_localnet"]), (second, ["route_localnet", "accept_local"])):
        for name in names:
            side.call(lambda name=name: (home / name).write_text(value))  # type: ignore[misc]

"""What a service manager hears."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.dockerd.notify import READY_FD, Teller


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(10)
        yield made


def heard(manager: socket.socket) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in manager.recv(4096).decode().splitlines())


def test_each_word_is_told(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname()}
    tell = Teller(environment)
    assert environment == {}
    tell("ready")
    assert heard(manager)["READY"] == "1"
    tell("reloading")
    said = heard(manager)
    assert said["RELOADING"] == "1"
    assert int(said["MONOTONIC_USEC"]) > 0
    tell("stopping")
    assert heard(manager) == {"STOPPING": "1"}
    tell("failed: two\nlines")
    assert heard(manager) == {"STATUS": "failed: two lines"}


def test_an_abstract_socket_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0notify-{os.getpid()}")
        manager.settimeout(10)
        Teller({"NOTIFY_SOCKET": f"@notify-{os.getpid()}"})("ready")
        assert heard(manager)["READY"] == "1"


def test_a_descriptor_hears_the_first_word_alone() -> None:
    reading, writing = os.pipe()
    tell = Teller({READY_FD: str(writing)})
    tell("ready")
    tell("stopping")
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "ready\n"


def test_nobody_listening_is_no_matter(tmp_path: Path) -> None:
    Teller({"NOTIFY_SOCKET": str(tmp_path / "none")})("ready")
    Teller({})("ready")


def test_the_watchdog_gets_signs_of_life(manager: socket.socket) -> None:
    async def live() -> None:
        task = asyncio.ensure_future(tell.live())
        for _ in range(3):
            assert await asyncio.to_thread(heard, manager) == {"WATCHDOG": "1"}
        task.cancel()

    tell = Teller({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    assert tell.interval == 0.01
    asyncio.run(live())


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}])
def test_nobody_waits_for_signs(more: dict[str, str]) -> None:
    assert Teller({"NOTIFY_SOCKET": "/none", **more}).interval == 0

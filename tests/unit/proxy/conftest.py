"""A proxy on a loop in a thread, and a server behind it; both on loopback, on ports the kernel chooses."""

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from protos.binding import Binding
from services.proxy.loop import IN, Loop
from services.proxy.proxy import Forward, Proxy

PATIENCE = 10.0


class Running:
    """The proxy as a test sees it; its loop lives in another thread."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.proxy = Proxy(self.loop, "c0ffee")
        self._thread = threading.Thread(target=self.loop.run)
        self._bell = os.pipe()
        self._actions: list[tuple[Callable[[], object], threading.Event]] = []
        self.loop.add(self._bell[0], IN, self._ring)

    def publish(self, protocol: str, container_port: int, host_ip: str = "127.0.0.1", container_ip: str = "127.0.0.1",
                ) -> int:
        """The host port. Call it before `start`."""
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
        listener = socket.socket(family, kind)
        listener.bind((host_ip, 0))
        if kind == socket.SOCK_STREAM:
            listener.listen(64)
        port = int(listener.getsockname()[1])
        self.proxy.publish(Binding(protocol, host_ip, port, container_ip, container_port), listener)
        return port

    def only(self) -> Forward:
        (forward,) = self.proxy.forwards.values()
        return forward

    def start(self) -> None:
        self._thread.start()

    def do(self, action: Callable[[], object]) -> None:
        """Run something in the loop's thread; back when it is done."""
        done = threading.Event()
        self._actions.append((action, done))
        os.write(self._bell[1], b"!")
        assert done.wait(PATIENCE)

    def _ring(self, events: int) -> None:
        os.read(self._bell[0], 1)
        action, done = self._actions.pop(0)
        action()
        done.set()

    def stop(self) -> None:
        if self._thread.ident:
            self.do(self.loop.stop)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()
        for forward in self.proxy.forwards.values():
            forward.close()
        self.loop.close()
        for descriptor in self._bell:
            os.close(descriptor)


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


Connect = Callable[[int], socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections to loopback that end with the test."""
    opened: list[socket.socket] = []

    def connect(port: int) -> socket.socket:
        opened.append(sock := socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        return sock

    yield connect
    for sock in opened:
        sock.close()

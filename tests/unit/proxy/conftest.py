"""A proxy on a loop in a thread, and a server behind it; both on loopback, on ports the kernel chooses."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from protos.binding import Binding
from services.proxy.loop import Loop
from services.proxy.proxy import Forward, Proxy

PATIENCE = 10.0


class Running:
    """The proxy as a test sees it; its loop lives in another thread."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.proxy = Proxy(self.loop, "c0ffee")
        self._thread = threading.Thread(target=self.loop.run)

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

    def stop(self) -> None:
        self.loop.later(0, self.loop.stop)
        # A loop without timers sleeps until something comes: its listeners may be woken by a connection.
        for binding in list(self.proxy.forwards):
            kind = socket.SOCK_STREAM if binding.protocol == "tcp" else socket.SOCK_DGRAM
            family = socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET
            with socket.socket(family, kind) as knock:
                address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(binding.host_ip, binding.host_ip)
                knock.connect_ex((address, binding.host_port))
                if kind == socket.SOCK_DGRAM:
                    knock.send(b"")
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        for forward in self.proxy.forwards.values():
            forward.close()
        self.loop.close()


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

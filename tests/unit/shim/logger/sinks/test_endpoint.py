import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.shim.logger.sinks.address import parse
from services.shim.logger.sinks.endpoint import Address, Endpoint, Patience


@contextmanager
def server() -> Iterator[tuple[socket.socket, Address]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, Address.of("tcp", "127.0.0.1", listener.getsockname()[1])


def free() -> Address:
    with server() as (_, address):
        return address


def test_addresses() -> None:
    assert parse("tcp+tls://h", 514) == ("tcp+tls", Address("tcp", "h:514", "h", 514))
    assert parse("udp://[::1]:9", 1) == ("udp", Address("udp", "[::1]:9", "::1", 9))
    assert parse("unixgram:///dev/log", 1) == ("unixgram", Address("unixgram", "/dev/log"))


def test_failures_are_told_as_go_does(tmp_path: Path) -> None:
    address = free()
    for where, text in (
        (address, f"dial tcp {address.place}: connect: connection refused"),
        (Address("unix", str(tmp_path / "x")), f"dial unix {tmp_path}/x: connect: no such file or directory"),
    ):
        with pytest.raises(OSError, match=text):
            Endpoint(where).open()


def test_a_server_that_closed_is_dialled_again() -> None:
    with server() as (listener, address):
        endpoint = Endpoint(address)
        endpoint.open()
        first, _ = listener.accept()
        assert endpoint.send([b"one"]) == 0 and first.recv(10) == b"one"
        first.close()
        assert endpoint.send([b"two", b"three"]) == 0
        second, _ = listener.accept()
        with second:
            assert second.recv(100) == b"twothree"
        endpoint.close()


def test_what_fails_twice_is_given_back() -> None:
    endpoint = Endpoint(free())
    assert endpoint.send([b"a", b"b"]) == 2
    assert "connection refused" in endpoint.reason


def test_patience_waits_for_a_server() -> None:
    address = free()
    endpoint = Endpoint(address, Patience(attempts=1000, delay=0.01))
    sent: list[int] = []
    sender = threading.Thread(target=lambda: sent.append(endpoint.send([b"late"])))
    sender.start()
    with socket.create_server(("127.0.0.1", address.port)) as listener:
        taken, _ = listener.accept()
        with taken:
            assert taken.recv(10) == b"late"
        sender.join()
    endpoint.close()
    assert sent == [0]


def test_datagrams_stay_apart(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        endpoint = Endpoint(Address("unixgram", str(tmp_path / "log")))
        assert endpoint.send([b"a", b"b"]) == 0
        assert (receiver.recv(10), receiver.recv(10)) == (b"a", b"b")
        endpoint.close()

"""UDP forwarding: flows, and the address that replies come from."""

import socket
from collections.abc import Iterator

import pytest

from services.proxy import udp
from tests.harness.wait import until
from tests.unit.proxy.conftest import PATIENCE, Running


@pytest.fixture
def inside() -> Iterator[socket.socket]:
    """The container's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        yield sock


def test_datagrams_pass_both_ways(running: Running, inside: socket.socket, client: socket.socket) -> None:
    port = running.publish("udp", inside.getsockname()[1])
    running.start()
    client.sendto(b"ping", ("127.0.0.1", port))
    data, flow = inside.recvfrom(99)
    inside.sendto(b"pong", flow)
    assert (data, client.recvfrom(99)) == (b"ping", (b"pong", ("127.0.0.1", port)))


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.77"])
def test_replies_come_from_the_address_asked(
    running: Running, inside: socket.socket, client: socket.socket, asked: str
) -> None:
    port = running.publish("udp", inside.getsockname()[1], host_ip="0.0.0.0")
    running.start()
    client.sendto(b"q", (asked, port))
    inside.sendto(b"a", inside.recvfrom(99)[1])
    assert client.recvfrom(99) == (b"a", (asked, port))


def test_ipv6_clients_are_served(running: Running, inside: socket.socket) -> None:
    port = running.publish("udp", inside.getsockname()[1], host_ip="::")
    running.start()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.sendto(b"q", ("::1", port))
        inside.sendto(b"a", inside.recvfrom(99)[1])
        data, peer, *_ = client.recvfrom(99)
        assert (data, peer[:2]) == (b"a", ("::1", port))


def test_clients_do_not_mix(running: Running, inside: socket.socket) -> None:
    port = running.publish("udp", inside.getsockname()[1])
    running.start()
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for number, client in enumerate(clients):
        client.settimeout(PATIENCE)
        client.sendto(b"%d" % number, ("127.0.0.1", port))
    for _ in clients:
        data, flow = inside.recvfrom(99)
        inside.sendto(b"for " + data, flow)
    for number, client in enumerate(clients):
        assert client.recv(99) == b"for %d" % number
        client.close()
    assert running.only().connections == 20


def test_the_largest_datagram_passes(running: Running, inside: socket.socket, client: socket.socket) -> None:
    port = running.publish("udp", inside.getsockname()[1])
    running.start()
    data = b"x" * 65507
    client.sendto(data, ("127.0.0.1", port))
    received, flow = inside.recvfrom(1 << 16)
    inside.sendto(received, flow)
    assert client.recv(1 << 16) == data


def test_an_empty_datagram_passes(running: Running, inside: socket.socket, client: socket.socket) -> None:
    port = running.publish("udp", inside.getsockname()[1])
    running.start()
    client.sendto(b"", ("127.0.0.1", port))
    assert inside.recv(99) == b""


def test_a_container_that_comes_late_is_reached(running: Running, client: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        address = first.getsockname()
        port = running.publish("udp", address[1])  # while that port is taken
    running.start()
    client.sendto(b"lost", ("127.0.0.1", port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(address)
        late.setblocking(False)

        def reached() -> bool:
            client.sendto(b"again", ("127.0.0.1", port))
            try:
                return late.recv(99) == b"again"
            except BlockingIOError:
                return False

        until(reached, "the container hears")


def test_a_silent_flow_is_forgotten(
    running: Running, inside: socket.socket, client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "FLOW_SECONDS", 0.1)
    monkeypatch.setattr(udp, "SWEEP_SECONDS", 0.05)
    port = running.publish("udp", inside.getsockname()[1])
    running.start()
    client.sendto(b"x", ("127.0.0.1", port))
    assert inside.recv(99) == b"x"
    until(lambda: running.only().connections == 0, "the flow is gone")


def test_a_link_local_reply_keeps_its_interface() -> None:
    asked = bytes.fromhex("fe80" + "00" * 13 + "01") + (7).to_bytes(4, "little")
    assert udp.reply_source(socket.IPPROTO_IPV6, asked) == asked


def test_a_global_reply_may_leave_by_any_interface() -> None:
    asked = bytes.fromhex("2001" + "00" * 13 + "01") + (7).to_bytes(4, "little")
    assert udp.reply_source(socket.IPPROTO_IPV6, asked) == asked[:16] + bytes(4)

"""Host ports taken in the kernel, on loopback."""

import socket

import pytest

from protos.errdefs import Internal
from services.dockerd.network.portmap import PortInUse, PortMap
from services.dockerd.network.ports import Wish


def wish(ports: range, address: str = "127.0.0.1", protocol: str = "tcp") -> Wish:
    return Wish(protocol, 80, (address,), ports)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_is_listened_on() -> None:
    portmap, port = PortMap(), free_port()
    published = portmap.publish([wish(range(port, port + 1))], ["172.17.0.2"], "web")
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    portmap.close(published)


def test_an_ephemeral_port_is_found() -> None:
    portmap = PortMap()
    (published,) = portmap.publish([wish(range(0))], ["172.17.0.2"], "web")
    assert published.binding.host_port == published.listener.getsockname()[1]
    portmap.close([published])


def test_a_port_of_another_process_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"failed to bind host port 127.0.0.1:{port}/tcp: address already in use"):
            PortMap().publish([wish(range(port, port + 1))], ["172.17.0.2"], "web")


def test_a_range_steps_over_what_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        portmap = PortMap()
        (published,) = portmap.publish([wish(range(port, port + 20))], ["172.17.0.2"], "web")
        assert port < published.binding.host_port < port + 20
        portmap.close([published])


def test_an_error_takes_everything_back() -> None:
    portmap, port = PortMap(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(PortInUse):
            portmap.publish([wish(range(port, port + 1)), wish(range(taken, taken + 1))], ["172.17.0.2"], "web")
    portmap.close(portmap.publish([wish(range(port, port + 1))], ["172.17.0.2"], "web"))


def test_an_address_the_host_has_not_is_told() -> None:
    with pytest.raises(Internal, match="cannot assign requested address"):
        PortMap().publish([wish(range(5000, 5001), "203.0.113.9")], ["172.17.0.2"], "web")


def test_a_missing_family_is_left_out() -> None:
    portmap, port = PortMap(), free_port()
    both = Wish("tcp", 80, ("127.0.0.1", "2001:db8::1"), range(port, port + 1), frozenset({"2001:db8::1"}))
    published = portmap.publish([both], ["172.17.0.2"], "web")
    assert [each.binding.host_ip for each in published] == ["127.0.0.1"]
    portmap.close(published)


def test_udp_is_bound() -> None:
    portmap, port = PortMap(), free_port()
    (published,) = portmap.publish([wish(range(port, port + 1), protocol="udp")], ["172.17.0.2"], "web")
    assert published.listener.type == socket.SOCK_DGRAM
    portmap.close([published])


def test_without_a_proxy_nobody_listens() -> None:
    portmap, port = PortMap(listening=False), free_port()
    published = portmap.publish([wish(range(port, port + 1))], ["172.17.0.2"], "web")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))
    portmap.close(published)


@pytest.mark.parametrize("listening", [True, False])
def test_connections_that_have_ended_are_no_hindrance(listening: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b"", "the server's side waits now"
    portmap = PortMap(listening=listening)
    portmap.close(portmap.publish([wish(range(port, port + 1))], ["172.17.0.2"], "web"))

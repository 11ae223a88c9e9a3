"""Which host ports are wanted, and which are taken."""

import pytest

from protos.binding import Binding
from protos.errdefs import Internal, InvalidArgument
from services.dockerd.network import ports
from services.dockerd.network.ports import EVERY, Taken, Wish, wishes
from services.dockerd.schema.container import PortBinding

EPHEMERAL = range(32768, 32771)
WEB = Binding("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)


def wish(port: str = "", address: str = "") -> Wish:
    (found,) = wishes({"80/tcp": [PortBinding(HostIp=address, HostPort=port)]}, [], False)
    return found


def test_an_exposed_port_is_tcp_by_default() -> None:
    assert (ports.parse_exposed("80"), ports.parse_exposed("53/UDP")) == ((80, "tcp"), (53, "udp"))


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "80/icmp", "-1"])
def test_bad_ports_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid port specification"):
        ports.parse_exposed(text)


@pytest.mark.parametrize(("text", "want"), [
    ("", range(0)), ("0", range(0)), ("80", range(80, 81)), ("80-82", range(80, 83)),
])
def test_host_ports(text: str, want: range) -> None:
    assert ports.parse_range(text) == want


@pytest.mark.parametrize("text", ["x", "82-80", "70000", "-5", "1-x"])
def test_bad_host_ports_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        ports.parse_range(text)


def test_no_address_means_every_address() -> None:
    assert wish("80").addresses == EVERY
    assert wish("80").optional == set(EVERY)
    assert wish("80", "127.0.0.1").addresses == ("127.0.0.1",)


def test_the_default_address_stands_in() -> None:
    (found,) = wishes({"80/tcp": [PortBinding(HostPort="80")]}, [], False, "10.1.2.3")
    assert found.addresses == ("10.1.2.3",)


def test_publish_all_adds_what_is_exposed() -> None:
    found = wishes({"80/tcp": [PortBinding(HostPort="8080")]}, ["80/tcp", "53/udp"], True)
    assert [(each.container_port, each.protocol, len(each.ports)) for each in found] == [(80, "tcp", 1), (53, "udp", 0)]


def test_exposed_ports_are_not_published_by_themselves() -> None:
    assert wishes({}, ["80/tcp"], False) == []


def test_fixed_ports_come_first() -> None:
    found = wishes({"1/tcp": [PortBinding()], "2/tcp": [PortBinding(HostPort="32768")]}, [], False)
    assert [each.container_port for each in found] == [2, 1]


def test_a_taken_port_names_its_holder() -> None:
    taken = Taken()
    taken.add(WEB, "web")
    text = r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated \(by container web\)"
    with pytest.raises(Internal, match=text):
        next(taken.candidates(wish("8080"), EPHEMERAL))


def test_every_address_excludes_each() -> None:
    taken = Taken()
    taken.add(WEB, "web")
    with pytest.raises(Internal):
        next(taken.candidates(wish("8080", "127.0.0.1"), EPHEMERAL))


def test_different_addresses_do_not_clash() -> None:
    taken = Taken()
    taken.add(WEB._replace(host_ip="127.0.0.1"), "web")
    assert next(taken.candidates(wish("8080", "127.0.0.2"), EPHEMERAL)) == 8080


def test_families_and_protocols_do_not_clash() -> None:
    taken = Taken()
    taken.add(WEB._replace(host_ip="::"), "six")
    taken.add(WEB._replace(protocol="udp"), "udp")
    assert next(taken.candidates(wish("8080", "0.0.0.0"), EPHEMERAL)) == 8080


def test_a_released_port_is_free() -> None:
    taken = Taken()
    taken.add(WEB, "web")
    taken.remove(WEB)
    assert next(taken.candidates(wish("8080"), EPHEMERAL)) == 8080


def test_a_range_gives_its_first_free_port() -> None:
    taken = Taken()
    taken.add(WEB, "web")
    assert next(taken.candidates(wish("8080-8081"), EPHEMERAL)) == 8081


def test_ephemeral_ports_go_round() -> None:
    taken = Taken()
    given = [next(taken.candidates(wish(), EPHEMERAL)) for _ in range(4)]
    assert given == [32768, 32769, 32770, 32768]


def test_an_exhausted_range_is_told() -> None:
    taken = Taken()
    for port in EPHEMERAL:
        taken.add(WEB._replace(host_port=port), "web")
    with pytest.raises(Internal, match="all ports are allocated"):
        next(taken.candidates(wish(), EPHEMERAL))


@pytest.mark.parametrize(("text", "want"), [
    ("32768\t60999\n", range(32768, 61000)), ("", range(49153, 65536)), ("9 5", range(49153, 65536)),
])
def test_the_kernels_ephemeral_range(text: str, want: range) -> None:
    assert ports.ephemeral_range(text) == want


def test_routed_addresses_have_ports_of_their_own() -> None:
    asked = ports.wishes({"80/tcp": [PortBinding(HostPort="8080"), PortBinding(HostPort="8081")]}, [], False)
    assert ports.routed(asked, ["10.1.0.2", "fd01::2"]) == [
        Binding("tcp", "0.0.0.0", 0, "10.1.0.2", 80), Binding("tcp", "::", 0, "fd01::2", 80)]
    assert [each.addresses for each in ports.translated(asked, ["fd01::2"])] == [("0.0.0.0",), ("0.0.0.0",)]
    assert ports.translated(asked, ["10.1.0.2", "fd01::2"]) == []

"""Address pools."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from protos.errdefs import Conflict, Internal, InvalidArgument, PermissionDenied
from services.dockerd.network import ipam
from services.dockerd.network.ipam import Pool

NET = IPv4Network("10.0.0.0/29")


def pool() -> Pool:
    made = Pool(NET, owner="web (abc)")
    made.reserve(IPv4Address("10.0.0.1"))
    return made


def test_the_lowest_free_address_is_given() -> None:
    addresses = pool()
    assert [str(addresses.allocate()) for _ in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_a_freed_address_is_given_again() -> None:
    addresses = pool()
    for _ in range(3):
        addresses.allocate()
    addresses.free(IPv4Address("10.0.0.3"))
    assert str(addresses.allocate()) == "10.0.0.3"
    assert str(addresses.allocate()) == "10.0.0.5"


def test_a_full_pool_says_which() -> None:
    addresses = pool()
    for _ in range(5):
        addresses.allocate()
    with pytest.raises(Internal, match=r"no available IPv4 addresses on this network's address pools: web \(abc\)"):
        addresses.allocate()


def test_an_address_is_taken_once() -> None:
    addresses = pool()
    addresses.reserve(IPv4Address("10.0.0.2"))
    with pytest.raises(Conflict, match="Address already in use"):
        addresses.reserve(IPv4Address("10.0.0.2"))
    assert str(addresses.allocate()) == "10.0.0.3"


def test_an_address_outside_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no configured subnet or ip-range contain the IP address"):
        pool().reserve(IPv4Address("10.0.1.2"))


def test_a_range_narrows_what_is_given() -> None:
    addresses = Pool(IPv4Network("10.0.0.0/24"), IPv4Network("10.0.0.128/30"))
    assert [str(addresses.allocate()) for _ in range(4)] == [f"10.0.0.{number}" for number in range(128, 132)]
    addresses.reserve(IPv4Address("10.0.0.5"))


def test_a_range_must_lie_inside() -> None:
    with pytest.raises(InvalidArgument):
        Pool(NET, IPv4Network("10.0.1.0/30"))


def test_the_first_subnet_that_touches_nothing() -> None:
    taken = [IPv4Network("172.17.0.0/16"), IPv4Network("172.18.4.0/24"), IPv4Network("0.0.0.0/0")]
    assert str(ipam.choose(ipam.DEFAULT_POOLS, taken)) == "172.19.0.0/16"


def test_no_subnet_left_is_told() -> None:
    with pytest.raises(Internal, match="all predefined address pools have been fully subnetted"):
        ipam.choose([("10.0.0.0/24", 25)], [IPv4Network("10.0.0.0/8")])


def test_overlap_is_refused_in_dockers_words() -> None:
    with pytest.raises(PermissionDenied, match="Pool overlaps with other one on this address space"):
        ipam.check_overlap(IPv4Network("10.1.0.0/16"), [IPv4Network("10.0.0.0/8")])


def test_the_mac_follows_from_the_address() -> None:
    assert ipam.mac_address(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"

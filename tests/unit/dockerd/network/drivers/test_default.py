"""Which addresses the default bridge gets."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.drivers import default

PLAIN = NetworkConfig(Path("/d"), Path("/e"))
THERE = [(ip_address("10.1.0.1"), 24), (ip_address("10.2.0.1"), 24), (ip_address("fe80::1"), 64)]


def planned(there: Any = (), taken: Any = (), version: int = 4, **flags: Any) -> Addressing:
    return default.plan(replace(PLAIN, **flags), there, taken, "this host", version)


def test_the_first_free_subnet() -> None:
    found = planned(taken=[ip_network("172.17.0.0/16")])
    assert (str(found.gateway), str(found.subnet)) == ("172.18.0.1", "172.18.0.0/16")


def test_what_the_bridge_has_is_kept() -> None:
    assert str(planned(THERE).gateway) == "10.1.0.1"


def test_fixed_cidr_chooses_among_addresses() -> None:
    found = planned(THERE, fixed_cidr="10.2.0.128/25")
    assert (str(found.gateway), str(found.ip_range)) == ("10.2.0.1", "10.2.0.128/25")


def test_what_disagrees_with_fixed_cidr_is_replaced() -> None:
    assert str(planned(THERE, fixed_cidr="10.3.0.0/24").subnet) == "10.3.0.0/24"
    with pytest.raises(InvalidArgument, match="container subnet must be a subset of bridge network"):
        planned(THERE, fixed_cidr="10.3.0.0/24", bridge="mine")


def test_bip_beats_what_is_there() -> None:
    found = planned(THERE, bip="10.9.0.5/16")
    assert (str(found.gateway), str(found.subnet)) == ("10.9.0.5", "10.9.0.0/16")


def test_fixed_cidr_alone_is_the_subnet() -> None:
    found = planned(fixed_cidr="10.3.0.0/24")
    assert (str(found.gateway), str(found.subnet), found.ip_range) == ("10.3.0.1", "10.3.0.0/24", None)


def test_a_default_gateway_is_never_given_to_containers() -> None:
    found = planned(bip="10.9.0.1/24", default_gateway="10.9.0.2")
    pool = found.open_pool("x")
    assert str(found.exit) == "10.9.0.2" and str(pool.allocate()) == "10.9.0.3"


def test_ipv6_is_the_hosts_own() -> None:
    found = planned(THERE, version=6)
    assert found.subnet.prefixlen == 64 and str(found.subnet).startswith("fd")
    assert found.subnet == planned(version=6).subnet
    other = default.plan(PLAIN, (), (), "another host", 6)
    assert other.subnet != found.subnet


def test_ipv6_by_flags() -> None:
    found = planned(version=6, bip6="fd01::1/64", fixed_cidr_v6="fd01::8000/113", default_gateway_v6="fd01::9")
    assert [str(each) for each in (found.gateway, found.subnet, found.ip_range, found.exit)] == [
        "fd01::1", "fd01::/64", "fd01::8000/113", "fd01::9"
    ]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"bip": "10.0.0.1"}, "parse --bip failed: invalid CIDR address: 10.0.0.1"),
        ({"bip": "fd01::1/64"}, "parse --bip failed: invalid CIDR address"),
        ({"bip6": "10.0.0.1/8"}, "parse --bip6 failed: invalid CIDR address"),
        ({"fixed_cidr": "x/8"}, "parse --fixed-cidr failed: invalid CIDR address: x/8"),
        ({"bip": "10.0.0.1/24", "fixed_cidr": "10.0.1.0/25"}, "container subnet must be a subset of bridge network"),
        ({"bip": "10.0.0.1/24", "default_gateway": "10.0.1.1"}, "must belong to the master pool"),
        ({"bip6": "fd01::1/64", "default_gateway_v6": "fd02::1"}, "must belong to the master pool"),
    ],
)
def test_flags_that_cannot_be(flags: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        default.check(replace(PLAIN, **flags))  # type: ignore[arg-type]

"""What a network to be made is to look like."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import EngineError
from services.dockerd.network import plan
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.networks import MTU, Network
from services.dockerd.schema.network import IPAM, IPAMConfig, NetworkCreate


def planned(*configs: dict[str, Any], config: dict[str, Any] | None = None, **asked: Any) -> Network:
    settings = NetworkConfig(Path("/d"), Path("/e"), **(config or {}))
    ipam = IPAM(Config=[IPAMConfig(**each) for each in configs])
    taken = Network("other", "bridge", v4=Addressing(ip_network("172.17.0.0/16"), ip_address("172.17.0.1")))
    return plan.plan(settings, NetworkCreate(Name="apps", IPAM=ipam, **asked), [taken], [ip_network("172.18.0.0/24")])


def test_a_free_subnet_is_chosen() -> None:
    network = planned()
    assert network.v4 and str(network.v4.gateway) == "172.19.0.1" and network.v6 is None


def test_pools_of_either_family() -> None:
    pools = (("10.0.0.0/8", 24), ("fd05::/48", 64))
    network = planned(config={"default_address_pools": pools}, EnableIPv6=True)
    assert network.v4 and network.v6
    assert (str(network.v4.subnet), str(network.v6.subnet)) == ("10.0.0.0/24", "fd05::/64")


def test_ipv6_that_is_not_wanted_is_passed_over() -> None:
    network = planned({"Subnet": "fd01::/64"}, {"Subnet": "10.1.0.0/24"})
    assert network.v6 is None and network.v4 and str(network.v4.subnet) == "10.1.0.0/24"


def test_the_daemons_options_come_second() -> None:
    config = {"default_network_opts": {"bridge": {MTU: "1400", "a": "b"}}}
    assert planned(config=config, Options={MTU: "1300"}).options == {MTU: "1300", "a": "b"}
    with pytest.raises(EngineError, match=r"invalid value for com\.docker\.network\.driver\.mtu"):
        planned(config={"default_network_opts": {"bridge": {MTU: "x"}}})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"Subnet": "10.1.0.5/24"}, "invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24"),
        ({"Subnet": "10.1.0.0"}, "invalid CIDR block notation"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.0/16"}, "CIDR block is bigger than its parent subnet 10.1.0"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.2.0.0/25"}, "parent subnet 10.1.0.0/24 doesn't contain ip-range"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "fd01::/80"}, "parent subnet is an IPv4 block"),
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1"}, "parent subnet 10.1.0.0/24 doesn't contain this address"),
        ({"Subnet": "10.1.0.0/24", "AuxiliaryAddresses": {"a": "x"}}, "invalid auxiliary address x"),
        ({"Gateway": "10.2.0.1"}, "needs a subnet to be in"),
    ],
)
def test_configurations_that_cannot_be(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(EngineError, match=problem):
        planned(given)

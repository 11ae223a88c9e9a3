"""What a network to be made is to look like."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import EngineError
from services.dockerd.network import plan
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.drivers.options import INHIBIT_IPV4, ISOLATED, LINK, MODE, MTU
from services.dockerd.network.networks import Network
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
    with pytest.raises(EngineError, match=r"failed to parse com\.docker\.network\.driver\.mtu value: x"):
        planned(config={"default_network_opts": {"bridge": {MTU: "x"}}})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"Subnet": "10.1.0.5/24"}, "invalid subnet 10.1.0.5/24: it should be 10.1.0.0/24"),
        ({"Subnet": "10.1.0.0"}, "invalid CIDR block notation"),
        ({"Subnet": "999"}, "invalid network config:\ninvalid subnet 999: invalid CIDR block notation$"),
        ({"Subnet": "10.1.0.0/255.255.0.0"}, "invalid CIDR block notation$"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.1.0.0/16"}, "CIDR block is bigger than its parent subnet 10.1.0"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "10.2.0.0/25"}, "parent subnet 10.1.0.0/24 doesn't contain ip-range"),
        ({"Subnet": "10.1.0.0/24", "IPRange": "fd01::/80"}, "parent subnet is an IPv4 block"),
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1"}, "parent subnet 10.1.0.0/24 doesn't contain this address"),
        ({"Subnet": "10.1.0.0/24", "AuxiliaryAddresses": {"a": "x"}}, "invalid auxiliary address a: invalid address"),
        ({"Gateway": "10.2.0.1"}, "needs one to be in"),
    ],
)
def test_configurations_that_cannot_be(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(EngineError, match=problem):
        planned(given)


def test_options_say_which_families_a_network_has() -> None:
    options = {"com.docker.network.enable_ipv6": "true", "com.docker.network.enable_ipv4": "0"}
    network = planned(Options=options)
    assert network.v4 is None and network.v6
    assert planned(Options=options, EnableIPv4=True, EnableIPv6=False).v6 is None
    with pytest.raises(EngineError, match=r'driver-opt "com\.docker\.network\.enable_ipv6" is not a valid bool'):
        planned(Options={"com.docker.network.enable_ipv6": "perhaps"})


def test_isolated_networks_have_no_gateway() -> None:
    network = planned({"Subnet": "10.1.0.0/24"}, Options={MODE[4]: ISOLATED}, Internal=True)
    network.open_pools()
    assert network.v4 and network.v4.pool and network.v4.gateway is None
    assert str(network.v4.pool.allocate()) == "10.1.0.1"
    with pytest.raises(EngineError, match="can only be used for an internal network"):
        planned(Options={MODE[4]: ISOLATED})


def test_a_bridge_without_address_has_a_gateway_all_the_same() -> None:
    for internal, gateway in ((False, "172.19.0.1"), (True, "None")):
        network = planned(Options={INHIBIT_IPV4: "true"}, Internal=internal)
        assert network.v4 and str(network.v4.gateway) == gateway


def test_an_auxiliary_address_can_be_the_way_out() -> None:
    network = planned({"Subnet": "10.1.0.0/24", "AuxiliaryAddresses": {"DefaultGatewayIPv4": "10.1.0.9"}})
    assert network.v4 and str(network.v4.exit) == "10.1.0.9"
    assert str(Addressing.from_json(network.v4.to_json()).exit) == "10.1.0.9"


def test_a_bridge_belongs_to_one_network() -> None:
    other = Network("other", "bridge", v4=Addressing(ip_network("10.9.0.0/24"), ip_address("10.9.0.1")))
    asked = NetworkCreate(Name="apps", Options={LINK: other.link})
    with pytest.raises(EngineError, match="networks have same bridge name"):
        plan.plan(NetworkConfig(Path("/d"), Path("/e")), asked, [other], [])

"""Which networks a container is to be on."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from protos.errdefs import Conflict, InvalidArgument, NotFound
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.networks import Network, Networks
from services.dockerd.network.request import Request, default_gateway_first, mode_of, targets
from services.dockerd.schema.container import EndpointIPAMConfig, EndpointSettings, HostConfig


@pytest.fixture
def networks(tmp_path: Path) -> Networks:
    found = Networks(tmp_path / "networks.json")
    found.load()
    for name in ("back", "apps"):
        found.add(Network(name, "bridge"))
    return found


def request(mode: str = "", **endpoints: EndpointSettings) -> Request:
    host = HostConfig(NetworkMode=mode)
    return Request("c" * 64, "box", "box", "", host, Path("/nowhere"), endpoints=endpoints)


def names(asked: Request, networks: Networks, bridge: bool = True) -> list[str]:
    return [network.name for network, _ in targets(asked, networks, default_bridge=bridge)]


@pytest.mark.parametrize(("mode", "want"), [
    ("", ["bridge"]), ("default", ["bridge"]), ("bridge", ["bridge"]), ("host", ["host"]), ("none", ["none"]),
    ("apps", ["apps"]), ("container:" + "d" * 64, []),
])
def test_the_mode_names_a_network(networks: Networks, mode: str, want: list[str]) -> None:
    assert names(request(mode), networks) == want


def test_the_mode_comes_first_then_names(networks: Networks) -> None:
    asked = request("back", apps=EndpointSettings(), bridge=EndpointSettings())
    assert names(asked, networks) == ["back", "apps", "bridge"]


def test_the_asked_settings_are_kept(networks: Networks) -> None:
    ((_, settings),) = targets(request("apps", apps=EndpointSettings(Aliases=["db"])), networks)
    assert settings.Aliases == ["db"]


def test_without_a_bridge_there_is_none(networks: Networks) -> None:
    assert names(request(), networks, bridge=False) == ["none"]


def test_an_unknown_network_is_told(networks: Networks) -> None:
    with pytest.raises(NotFound, match="network nowhere not found"):
        targets(request("nowhere"), networks)


def test_host_excludes_others(networks: Networks) -> None:
    with pytest.raises(Conflict):
        targets(request("host", apps=EndpointSettings()), networks)


def test_an_address_needs_a_network_of_ones_own(networks: Networks) -> None:
    settings = EndpointSettings(IPAMConfig=EndpointIPAMConfig(IPv4Address="172.17.0.9"))
    with pytest.raises(InvalidArgument, match="user specified IP address is supported on user defined networks only"):
        targets(request("bridge", bridge=settings), networks)


def test_modes(networks: Networks) -> None:
    modes = [mode_of(request(mode)) for mode in ("", "apps", "host", "none", "container:x")]
    assert modes == ["bridge", "bridge", "host", "none", "container"]


def test_priority_decides_the_gateway(networks: Networks) -> None:
    back, apps = networks.get("back"), networks.get("apps")
    back.v4 = apps.v4 = Addressing(ip_network("10.0.0.0/24"), ip_address("10.0.0.1"))
    found = [(back, EndpointSettings()), (apps, EndpointSettings(GwPriority=5))]
    assert default_gateway_first(found, 4) is apps
    assert default_gateway_first([(back, EndpointSettings()), (apps, EndpointSettings())], 4) is back
    assert default_gateway_first(found, 6) is None
    apps.internal = True
    assert default_gateway_first(found, 4) is back

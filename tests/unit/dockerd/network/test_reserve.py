"""Addresses of endpoints are taken together, or not at all."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import Conflict, Internal
from services.dockerd.network import reserve
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.networks import Network
from services.dockerd.network.request import Request
from services.dockerd.schema.container import EndpointSettings, HostConfig

ASKED = Request("c" * 64, "box", "box", "", HostConfig(NetworkMode="apps"), Path("/c"))


def network(name: str = "apps", second: str = "fd01::/64") -> Network:
    found = Network(
        name, "bridge", v4=Addressing(ip_network("10.1.0.0/24"), ip_address("10.1.0.1")),
        v6=Addressing(ip_network(second), ip_network(second)[1]))
    found.open_pools()
    return found


def settings(**addresses: str) -> EndpointSettings:
    return EndpointSettings.model_validate({"IPAMConfig": addresses} if addresses else {})


def made(apps: Network, **addresses: str) -> Any:
    return reserve.endpoint(ASKED, (apps, settings(**addresses)), ())


def test_one_of_each_family() -> None:
    end = made(network())
    assert end.addresses == ["10.1.0.2", "fd01::2"] and end.mac == "02:42:0a:01:00:02"
    assert [str(place.gateway) for place in end.places] == ["10.1.0.1", "fd01::1"]


def test_a_wish_is_granted_once() -> None:
    apps = network()
    assert made(apps, IPv6Address="fd01::9").addresses == ["10.1.0.2", "fd01::9"]
    with pytest.raises(Conflict, match="Address already in use"):
        made(apps, IPv6Address="fd01::9")
    assert made(apps).addresses == ["10.1.0.3", "fd01::2"], "what the failed one had of IPv4 was given back"


def test_none_is_kept_where_a_network_is_full() -> None:
    apps, full = network(), network("full", "fd02::/127")
    with pytest.raises(Internal, match="no available IPv6 addresses"):
        reserve.endpoints(ASKED, [(apps, settings()), (full, settings())])
    assert made(apps).addresses == ["10.1.0.2", "fd01::2"]


def test_an_internal_network_leads_nowhere() -> None:
    apps = network()
    apps.internal = True
    assert [place.gateway for place in made(apps).places] == [None, None]

"""The store of networks."""

import json
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from protos.errdefs import Conflict, InvalidArgument, NotFound
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.networks import Network, Networks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network" / "networks.json"


def load(path: Path) -> Networks:
    networks = Networks(path)
    networks.load()
    return networks


def test_the_predefined_are_always_there(path: Path) -> None:
    assert {each.name: each.driver for each in load(path)} == {"bridge": "bridge", "host": "host", "none": "null"}


def test_networks_survive(path: Path) -> None:
    first = load(path)
    families = Addressing(ip_network("10.1.0.0/24"), ip_address("10.1.0.1")), Addressing(
        ip_network("fd01::/64"), ip_address("fd01::1"), ip_network("fd01::80/121"), {"printer": "fd01::9"})
    made = Network("apps", "bridge", v4=families[0], v6=families[1], labels={"a": "b"})
    first.add(made)
    second = load(path)
    found = second.get("apps")
    assert (found.id, found.v4, found.v6, found.labels) == (made.id, *families, {"a": "b"})
    assert second.get("bridge").id == first.get("bridge").id


def test_found_by_name_id_and_prefix(path: Path) -> None:
    networks = load(path)
    bridge = networks.get("bridge")
    assert networks.get(bridge.id) is networks.get(bridge.id[:12]) is bridge


def test_a_missing_network_is_told(path: Path) -> None:
    with pytest.raises(NotFound, match="network nope not found"):
        load(path).get("nope")


def test_names_are_taken_once(path: Path) -> None:
    networks = load(path)
    networks.add(Network("apps", "bridge"))
    with pytest.raises(Conflict, match="network with name apps already exists"):
        networks.add(Network("apps", "bridge"))


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b"])
def test_bad_names_are_refused(path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid network name"):
        load(path).add(Network(name, "bridge"))


def test_one_that_is_being_removed_is_on_file_until_the_end(path: Path) -> None:
    def on_file() -> list[str]:
        again = Networks(path)
        again.load()
        return [each.name for each in again]

    networks = Networks(path)
    networks.load()
    network = Network("apps", "bridge")
    networks.add(network)
    with pytest.raises(OSError, match="busy"), networks.removing(network):
        raise OSError("busy")
    assert networks.get("apps") is network
    with networks.removing(network):
        networks.add(Network("other", "bridge"))
        assert networks.by_id(network.id) is None and "apps" in on_file()
    assert "apps" not in on_file() and "other" in on_file()


def test_a_corrupt_file_is_put_aside(path: Path) -> None:
    load(path)
    path.write_text("{nonsense")
    assert len(list(load(path))) == 3
    assert path.with_suffix(".corrupt").read_text() == "{nonsense"


def test_options_are_flags() -> None:
    assert not Network("apps", "bridge", options={"com.docker.network.bridge.enable_icc": "false"}).icc
    assert Network("apps", "bridge").icc


def test_the_bridge_is_named_after_the_network() -> None:
    network = Network("apps", "bridge")
    assert network.link == f"br-{network.id[:12]}"
    assert Network("x", "bridge", options={"com.docker.network.bridge.name": "mine"}).link == "mine"


def test_the_pool_knows_what_is_reserved() -> None:
    addressing = Addressing(ip_network("10.1.0.0/24"), ip_address("10.1.0.1"), auxiliary={"printer": "10.1.0.2"})
    Network("apps", "bridge", v4=addressing).open_pools()
    assert addressing.pool and str(addressing.pool.allocate()) == "10.1.0.3"


def test_networks_of_the_days_of_ipv4_are_read(path: Path) -> None:
    path.parent.mkdir()
    old = {"id": "a" * 64, "created": 1, "ipam_driver": "default", "ipam_options": None, "options": {}, "labels": {},
           "internal": False, "attachable": False}
    plain = {"subnet": "", "gateway": "", "ip_range": "", "auxiliary": {}}
    full = {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1", "ip_range": "10.1.0.128/25", "auxiliary": {"a": "10.1.0.9"}}
    path.write_text(json.dumps([
        {"name": "apps", "driver": "bridge", **old, **full},
        {"name": "host", "driver": "host", **old, **plain, "id": "b"},
    ]))
    found = load(path)
    addressing = found.get("apps").v4
    assert addressing and (str(addressing.ip_range), addressing.auxiliary) == ("10.1.0.128/25", {"a": "10.1.0.9"})
    assert found.get("host").addressings == [] and not path.with_suffix(".corrupt").exists()

"""Networks as the API shows them."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from protos.binding import Binding
from services.dockerd.network import views
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.networks import Network, Networks
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings

WEB = Binding("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)


def running(tmp_path: Path) -> tuple[Sandbox, Networks]:
    networks = Networks(tmp_path / "n.json")
    networks.load()
    endpoint = Endpoint("e" * 64, networks.get("bridge").id, EndpointSettings(), IPv4Address("172.17.0.2"), 16,
                        IPv4Address("172.17.0.1"), "02:42:ac:11:00:02", bindings=[WEB])
    paths = (Path("/h"), Path("/o"), Path("/r"))
    return Sandbox("c" * 64, "/run/netns/c", *paths, name="box", id="s" * 64, endpoints=[endpoint]), networks


def test_settings_of_a_running_container(tmp_path: Path) -> None:
    sandbox, networks = running(tmp_path)
    shown = views.settings(sandbox, networks, ["443/tcp"])
    assert shown["IPAddress"] == shown["Networks"]["bridge"]["IPAddress"] == "172.17.0.2"
    assert (shown["SandboxID"], shown["SandboxKey"]) == ("s" * 64, "/run/netns/c")
    assert shown["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None}


def test_settings_of_a_stopped_container(tmp_path: Path) -> None:
    _, networks = running(tmp_path)
    shown = views.idle_settings([(networks.get("bridge"), EndpointSettings(Aliases=["a"]))])
    assert shown["Ports"] == {} and shown["IPAddress"] == ""
    assert shown["Networks"]["bridge"]["IPAddress"] == "" and shown["Networks"]["bridge"]["Aliases"] == ["a"]


def test_ports_of_a_list() -> None:
    rows = views.port_list([WEB, WEB._replace(host_ip="::")], ["80/tcp", "53/udp"])
    assert rows == [
        {"PrivatePort": 53, "Type": "udp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
    ]


def test_a_network_lists_its_containers(tmp_path: Path) -> None:
    sandbox, networks = running(tmp_path)
    shown = views.network_document(networks.get("bridge"), [sandbox], containers=True)
    assert shown["Containers"]["c" * 64]["IPv4Address"] == "172.17.0.2/16"
    assert views.network_document(networks.get("bridge"), [sandbox], containers=False)["Containers"] == {}


def test_a_network_shows_its_addresses() -> None:
    network = Network("apps", "bridge", v4=Addressing(ip_network("10.1.0.0/24"), ip_address("10.1.0.1")))
    shown = views.network_document(network, [], containers=True)
    assert (shown["EnableIPv4"], shown["EnableIPv6"]) == (True, False)
    assert shown["IPAM"] == {"Driver": "default", "Options": None,
                             "Config": [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}]}


def test_a_sandbox_survives_its_file(tmp_path: Path) -> None:
    sandbox, _ = running(tmp_path)
    assert Sandbox.from_json(sandbox.to_json()) == sandbox


def test_ipv6_is_shown_where_it_is(tmp_path: Path) -> None:
    sandbox, networks = running(tmp_path)
    network = networks.get("bridge")
    network.v6 = Addressing(ip_network("fd01::/64"), ip_address("fd01::1"))
    sandbox.endpoints[0].place(IPv6Address("fd01::2"), 64, IPv6Address("fd01::1"))
    assert Sandbox.from_json(sandbox.to_json()) == sandbox
    shown = views.settings(sandbox, networks, [])
    for document in (shown, shown["Networks"]["bridge"]):
        keys = ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway")
        assert tuple(document[key] for key in keys) == ("fd01::2", 64, "fd01::1")
    document = views.network_document(network, [sandbox], containers=True)
    assert document["EnableIPv6"] and {"Subnet": "fd01::/64", "Gateway": "fd01::1"} in document["IPAM"]["Config"]
    assert document["Containers"]["c" * 64]["IPv6Address"] == "fd01::2/64"

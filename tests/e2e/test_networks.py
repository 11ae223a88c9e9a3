"""The bridge and what hangs on it: addresses, names, masquerade, `docker network ls/inspect`."""

import json
import re
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.cli import Docker
from tests.harness.engine import HOST, NEIGHBOUR, Engine
from tests.harness.http import API
from tests.harness.python import ASK, SERVE, host_python
from tests.harness.wait import until

ADDRESS = ("busybox", "cat", "/sys/class/net/eth0/address")
FILES = {"HostnamePath": "/etc/hostname", "HostsPath": "/etc/hosts", "ResolvConfPath": "/etc/resolv.conf"}
EXCLUDED = [("-p", "80:80"), ("--hostname", "x"), ("--dns", "192.0.2.1"), ("--add-host", "a:192.0.2.1")]


def test_the_three_networks(docker: Docker) -> None:
    rows = docker.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines()
    assert rows == ["bridge bridge local", "host host local", "none null local"]


def test_inspect_of_the_bridge(docker: Docker, engine: Engine) -> None:
    (info,) = json.loads(docker.ok("network", "inspect", "bridge"))
    assert (info["Name"], info["Driver"], info["Scope"], info["Internal"]) == ("bridge", "bridge", "local", False)
    assert info["IPAM"]["Driver"] == "default"
    config = info["IPAM"]["Config"][0]
    assert config["Subnet"] == "172.17.0.0/16"
    options = info["Options"]
    assert options["com.docker.network.bridge.default_bridge"] == "true"
    assert options["com.docker.network.bridge.name"] == "docker0"
    assert options["com.docker.network.driver.mtu"] == "1500"
    assert "172.17.0.1/16" in engine.network.ip("-4", "-o", "addr", "show", "docker0")


def test_inspect_shows_who_is_on_it(docker: Docker, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    (info,) = json.loads(docker.ok("network", "inspect", "bridge"))
    entry = info["Containers"][container]
    assert entry["Name"] == name and re.match(r"172\.17\.\d+\.\d+/16", entry["IPv4Address"]) and entry["MacAddress"]


def test_networks_are_found_by_prefix_and_filter(api: API) -> None:
    bridge = api.get("/networks/bridge")
    assert api.get(f"/networks/{bridge['Id'][:12]}")["Name"] == "bridge"
    assert [one["Name"] for one in api.get("/networks", filters={"name": {"bri": True}})] == ["bridge"]
    assert [one["Name"] for one in api.get("/networks", filters={"driver": {"null": True}})] == ["none"]
    assert api.get("/networks", filters={"type": {"custom": True}}) == []


def test_a_missing_network(docker: Docker, api: API) -> None:
    reply = api("GET", "/networks/not-there")
    assert (reply.status, reply.message) == (404, "network not-there not found")
    text = docker.fails("run", "--network", "not-there", "busybox", "true", code=125)
    assert "network not-there not found" in text


def test_a_containers_address(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    address = docker.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    out = docker.ok("exec", name, "sh", "-c", "ip -o -4 addr show eth0; ip route; cat /sys/class/net/eth0/address")
    assert f"inet {address}/16" in out and "default via 172.17.0.1 dev eth0" in out
    assert docker.inspect(name, "{{.NetworkSettings.Networks.bridge.MacAddress}}") in out
    assert docker.inspect(name, "{{.NetworkSettings.Networks.bridge.Gateway}}") == "172.17.0.1"


def test_a_stopped_container_has_no_address(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "busybox", "true")
    until(lambda: docker.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}") == "", "it is given back")


@pytest.mark.ours
def test_an_address_of_ones_own_mac(docker: Docker) -> None:
    out = docker.ok(
        "run", "--rm", "--mac-address", "02:42:00:00:be:ef", "busybox", "cat", "/sys/class/net/eth0/address"
    )
    assert out == "02:42:00:00:be:ef"


def test_addresses_do_not_collide(docker: Docker) -> None:
    boxes = [docker.ok("run", "-d", "busybox", "sleep", "60") for _ in range(5)]
    addresses = {docker.inspect(box, "{{.NetworkSettings.Networks.bridge.IPAddress}}") for box in boxes}
    assert len(addresses) == 5


def test_containers_reach_each_other(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "nc", "-ll", "-p", "99", "-e", "echo", "hi there")
    address = docker.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    run = ("run", "--rm", "busybox", "nc", "-w", "5", address, "99")
    until(lambda: docker(*run).out == "hi there\n", "the other answers")
    assert docker.ok("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", address)


def test_the_host_is_reached(docker: Docker) -> None:
    docker.ok("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", HOST)


def test_the_outside_sees_the_hosts_address(docker: Docker, engine: Engine) -> None:
    """Masquerade: a neighbour that knows no way back to 172.17 is reached all the same."""
    with engine.neighbour.listen(NEIGHBOUR, 7001) as server:
        server.settimeout(30)
        child = docker.start("run", "--rm", "busybox", "nc", "-w", "5", NEIGHBOUR, "7001")
        connection, peer = server.accept()
        with connection:
            connection.sendall(b"welcome")
        out, _ = child.communicate(timeout=30)
    assert out == b"welcome" and peer[0] == HOST


def test_links_go_with_their_container(docker: Docker, engine: Engine, name: str) -> None:
    before = set(leftovers.links(engine.network))
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    (link,) = set(leftovers.links(engine.network)) - before
    docker.ok("rm", "-f", name)
    until(lambda: link not in leftovers.links(engine.network), "the link is gone")


def test_forwarding_is_on(engine: Engine) -> None:
    assert engine.network.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip() == b"1"


def test_resolver_of_the_host_is_taken_over(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "busybox", "cat", "/etc/resolv.conf")
    assert re.search(r"^nameserver \S+", out, re.M)
    assert not re.search(r"^nameserver 127\.", out, re.M)


def test_the_containers_files_are_where_inspect_says(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--hostname", "me", "busybox", "sleep", "60")
    for field, inside in FILES.items():
        path = docker.inspect(name, f"{{{{.{field}}}}}")
        assert Path(path).read_text().strip() == docker.ok("exec", name, "cat", inside)


def test_sandbox_is_told(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    assert docker.inspect(name, "{{.NetworkSettings.SandboxKey}}").startswith("/")
    assert len(docker.inspect(name, "{{.NetworkSettings.SandboxID}}")) == 64


def test_a_container_that_shares_has_no_files_of_its_own(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--hostname", "owner", "busybox", "sleep", "60")
    assert docker.ok("run", "--rm", "--network", f"container:{name}", "busybox", "hostname") == "owner"


@pytest.mark.parametrize("flags", EXCLUDED)
def test_what_a_shared_network_excludes(docker: Docker, name: str, flags: tuple[str, ...]) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    text = docker.fails("run", "--rm", "--network", f"container:{name}", *flags, "busybox", "true")
    assert "conflicting options" in text


def test_udp_between_containers(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, *host_python(), "-c", SERVE, "udp", "7777")
    address = docker.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    assert docker.ok("run", "--rm", *host_python(), "-c", ASK, address, "7777").split()[2] == "hello"


def test_off_its_only_network_and_on_another_before_its_first_start(docker: Docker, name: str) -> None:
    """As docker-compose does with every container."""
    for net in ("net-one", "net-two"):
        docker.ok("network", "create", net)
    docker.ok("create", "--name", name, "--network", "net-one", "busybox", "ip", "addr")
    docker.ok("network", "disconnect", "net-one", name)
    docker.ok("network", "connect", "--alias", "other", "net-two", name)
    assert "eth0" in docker.ok("start", "-a", name)
    assert docker.inspect(name, "{{range $key, $_ := .NetworkSettings.Networks}}{{$key}} {{end}}") == "net-two"


def test_a_container_without_network_stays_so(docker: Docker, name: str) -> None:
    docker.ok("network", "create", "net-one")
    docker.ok("create", "--name", name, "--network", "none", "busybox", "true")
    assert "private (none) mode" in docker.fails("network", "connect", "net-one", name)


def test_a_container_knows_its_own_names(docker: Docker, name: str) -> None:
    """As a health check that asks for its service by name does."""
    for net in ("net-one", "net-two"):
        docker.ok("network", "create", net)
    names = ("--name", name, "--hostname", "me", "--network", "net-one", "--network-alias", "service")
    docker.ok("run", "-d", *names, "busybox", "sleep", "600")
    address = docker.inspect(name, '{{(index .NetworkSettings.Networks "net-one").IPAddress}}')
    for known in (name, "service", "me"):
        assert address in docker.ok("exec", name, "ping", "-c", "1", known)
    docker.ok("network", "connect", "--alias", "other", "net-two", name)
    assert docker.ok("exec", name, "ping", "-c", "1", "other")
    assert docker.ok("exec", name, "ping", "-c", "1", "service")
    docker.ok("network", "disconnect", "net-two", name)
    docker.fails("exec", name, "ping", "-c", "1", "-w", "5", "other")


def test_a_new_name_is_known_at_once(docker: Docker, name: str) -> None:
    docker.ok("network", "create", "net-one")
    for each in (name, f"{name}-asks"):
        docker.ok("run", "-d", "--name", each, "--network", "net-one", "--network-alias", f"{each}-alias", "busybox",
                  "sleep", "600")
    docker.ok("rename", name, f"{name}-new")
    for asking in (f"{name}-new", f"{name}-asks"):
        for known in (f"{name}-new", f"{name}-alias"):
            assert docker.ok("exec", asking, "ping", "-c", "1", known)
        docker.fails("exec", asking, "ping", "-c", "1", "-w", "5", name)
    assert docker.ok("exec", f"{name}-new", "ping", "-c", "1", f"{name}-asks")
    docker.ok("rename", f"{name}-new", name)


@pytest.mark.ours  # Docker 20.10 refuses it at the start, in other words
def test_an_address_that_the_network_has_not(docker: Docker, name: str) -> None:
    outside = "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.79.0.1"
    docker.ok("network", "create", "--subnet", "10.78.0.0/24", name)
    try:
        text = docker.fails("create", "--network", name, "--ip", "10.79.0.1", "busybox", "true")
        assert f"invalid config for network {name}: {outside}" in text
        docker.ok("create", "--name", name, "busybox", "true")
        assert outside in docker.fails("network", "connect", "--ip", "10.79.0.1", name, name)
    finally:
        docker.ok("rm", "-f", name)
        docker.ok("network", "rm", name)

"""The network controller against the kernel, in a network namespace of its own: links, rules, ports, adoption.

Containers are namespaces without processes; what they would serve is served by threads inside them.
"""

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import Conflict, Internal, NotFound, PermissionDenied
from services.dockerd.network import custom, netns
from services.dockerd.network.controller import Controller
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings, PortBinding
from services.dockerd.schema.network import IPAM, IPAMConfig, NetworkCreate
from tests.harness.wait import until
from tests.integration.network.place import WEB, Place, asked, begin, echo, ip_inside, stop

FOREIGN = "/usr/sbin/docker-proxy"


def test_a_container_has_its_address_and_ways(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1))
        shown = ip_inside(sandbox, "-o", "addr")
        assert "inet 127.0.0.1/8" in shown and "eth0    inet 172.17.0.2/16 brd 172.17.255.255" in shown
        assert "inet6 fe80" not in shown
        assert "default via 172.17.0.1 dev eth0" in ip_inside(sandbox, "route")
        assert "02:42:ac:11:00:02" in ip_inside(sandbox, "link")
        assert sandbox.hosts_path.read_text().splitlines()[-1] == "172.17.0.2\tbox1"

    place.run(scenario)


def test_ports_are_reached_from_everywhere(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1, PortBindings=WEB))
        other = await begin(controller, place.request(2))
        server = echo(sandbox)
        for address in ("127.0.0.1", "172.17.0.1", "::1"):
            assert await asyncio.to_thread(asked, address, 8080) == "172.17.0.1"
        for inside in (sandbox, other):
            path = Path(inside.netns_path)
            assert await asyncio.to_thread(netns.inside, path, lambda: asked("172.17.0.1", 8080)) == "172.17.0.1"
        stop(server)

    place.run(scenario)


@pytest.mark.parametrize("program", ["", FOREIGN])
def test_ports_by_either_proxy(place: Place, program: str) -> None:
    if program and not Path(program).exists():
        pytest.skip(f"{program} is not installed")

    async def scenario(controller: Controller) -> None:
        request = place.request(1, PortBindings=WEB)
        server = echo(await begin(controller, request))
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"
        assert len(place.proxies()) == (2 if program else 1)
        await controller.release(request.container_id)
        assert not place.proxies()
        stop(server)

    place.run(scenario, userland_proxy_path=program)


def test_ports_without_a_proxy(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        server = echo(await begin(controller, place.request(1, PortBindings=WEB)))
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080)
        assert await asyncio.to_thread(asked, "172.17.0.1", 8080)
        assert not place.proxies()
        with pytest.raises(OSError, match="already in use"):
            socket.create_server(("0.0.0.0", 8080))
        stop(server)
        await controller.stop()

    place.run(scenario, userland_proxy=False)


def test_nothing_stays_of_a_container(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        request = place.request(1, PortBindings=WEB)
        links, rules = place.links(), place.rules().count("-A")
        sandbox = await begin(controller, request)
        assert place.rules().count("-A") == rules + 3
        await controller.release(request.container_id)
        await controller.release(request.container_id)
        assert place.rules().count("-A") == rules and not place.proxies()
        await controller.settle()
        assert place.links() == links and not Path(sandbox.netns_path).exists()
        assert not list((place.root / "exec" / "network").glob("*.json"))
        assert str((await begin(controller, request)).endpoints[0].address) == "172.17.0.2"

    place.run(scenario)


def test_what_could_not_be_stopped_keeps_its_network(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        one, two = place.request(1, PortBindings=WEB), place.request(2)
        server = echo(await begin(controller, one))
        other = await begin(controller, two)
        await controller.stop(running=[one.container_id])
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"
        assert not Path(other.netns_path).exists()
        stop(server)

    place.run(scenario)


def test_nothing_stays_of_the_whole(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        await begin(controller, place.request(1, PortBindings=WEB))
        await custom.create(controller, NetworkCreate(Name="apps"))
        assert place.namespace.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == b"1\n"
        await controller.stop()

    links = place.links()
    place.run(scenario)
    assert place.links() == links and "-A" not in place.rules() and "DOCKER" not in place.rules()
    assert place.namespace.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == b"0\n"
    assert ":FORWARD ACCEPT" in place.rules()


def test_rules_of_others_stay(place: Place) -> None:
    place.namespace.run("iptables", "-N", "DOCKER-USER")
    place.namespace.run("iptables", "-A", "DOCKER-USER", "-s", "192.0.2.0/24", "-j", "DROP")
    place.namespace.run("iptables", "-A", "FORWARD", "-s", "198.51.100.0/24", "-j", "ACCEPT")

    async def scenario(controller: Controller) -> None:
        await begin(controller, place.request(1, PortBindings=WEB))
        assert place.rules().index("-A FORWARD -j DOCKER-USER") < place.rules().index("-A FORWARD -s 198.51.100.0/24")
        await controller.stop()

    place.run(scenario)
    rules = [line for line in place.rules().splitlines() if line.startswith("-A")]
    assert rules == ["-A FORWARD -s 198.51.100.0/24 -j ACCEPT", "-A DOCKER-USER -s 192.0.2.0/24 -j DROP"]


def test_a_successor_adopts_what_lives(place: Place) -> None:
    request, idle = place.request(1, PortBindings=WEB), place.request(2, PortBindings={"80/tcp": [PortBinding()]})

    async def first(controller: Controller) -> Sandbox:
        await begin(controller, idle)
        return await begin(controller, request)

    sandbox = place.run(first)
    server = echo(sandbox)
    before, (proxy, other) = place.rules(), sorted(place.proxies())
    client = place.namespace.connect("127.0.0.1", 8080)

    async def second(controller: Controller) -> dict[str, Any]:
        settings = controller.settings(request.container_id)
        with pytest.raises(Internal, match=r"8080 failed: port is already allocated \(by container box1\)"):
            await begin(controller, place.request(3, PortBindings=WEB))
        await controller.release(place.request(3).container_id)
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"
        return settings

    settings = place.again([request], second)
    assert settings["IPAddress"] == str(sandbox.endpoints[0].address)
    assert settings["Ports"]["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    assert place.proxies() in ([proxy], [other])
    assert [line for line in before.splitlines() if "8080" in line] == [
        line for line in place.rules().splitlines() if "8080" in line
    ]
    assert not Path(place.root / "exec" / "netns" / idle.container_id[:12]).exists()
    assert client.recv(99) == b"172.17.0.1"
    client.close()
    stop(server)


def test_a_successor_mends_what_was_lost(place: Place) -> None:
    request = place.request(1, PortBindings=WEB)
    sandbox = place.run(lambda controller: begin(controller, request))
    server = echo(sandbox)
    before = sorted(line for line in place.rules().splitlines() if line.startswith("-A"))
    for pid in place.proxies():
        os.kill(pid, signal.SIGKILL)
    place.namespace.run("iptables", "-t", "nat", "-F")
    place.namespace.run("iptables", "-F")
    place.namespace.ip("link", "del", "docker0")

    async def second(controller: Controller) -> None:
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"

    place.again([request], second)
    assert sorted(line for line in place.rules().splitlines() if line.startswith("-A")) == before
    stop(server)


def test_a_proxy_that_dies_is_replaced(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        server = echo(await begin(controller, place.request(1, PortBindings=WEB)))
        (pid,) = place.proxies()
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: place.proxies() not in ([], [pid]), "another proxy runs")
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"
        stop(server)

    place.run(scenario)


def test_a_port_in_use_leaves_nothing(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        rules = place.rules()
        bindings = {"80/tcp": [PortBinding(HostPort="8080")], "81/tcp": [PortBinding(HostPort="8081")]}
        request = place.request(1, PortBindings=bindings)
        with socket.create_server(("0.0.0.0", 8081)):
            with pytest.raises(Internal, match=rf"8081/tcp: address already in use \(held by .*pid {os.getpid()}\)"):
                await begin(controller, request)
            await controller.release(request.container_id)
        await controller.settle()
        assert [line for line in place.rules().splitlines() if line.startswith("-")] == [
            line for line in rules.splitlines() if line.startswith("-")
        ]
        await begin(controller, request)

    place.run(scenario)


def test_a_port_of_one_who_leaves_is_waited_for(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        one, two = place.request(1, PortBindings=WEB), place.request(2, PortBindings=WEB)
        for _ in range(3):
            for request, other in ((one, two), (two, one)):
                await begin(controller, request)
                await controller.release(request.container_id)
                assert request is not other

    place.run(scenario)


def test_a_shared_sandbox(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1))
        other = replace(place.request(2), shared_container=sandbox.container_id)
        joined = await begin(controller, other)
        assert (joined.netns_path, joined.hosts_path) == (sandbox.netns_path, sandbox.hosts_path)
        assert controller.settings(other.container_id)["Networks"] == {}
        await controller.release(other.container_id)
        assert Path(sandbox.netns_path).exists()
        lonely = replace(place.request(3), shared_container="f" * 64)
        with pytest.raises(Conflict, match="cannot join network of a non running container"):
            await controller.allocate(lonely)

    place.run(scenario)


def test_host_and_none(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        host = await begin(controller, place.request(1, NetworkMode="host"))
        assert host.netns_path == "" and host.hosts_path.read_text() == Path("/etc/hosts").read_text()
        none = await begin(controller, place.request(2, NetworkMode="none"))
        shown = ip_inside(none, "-o", "link")
        assert shown.count("\n") == 1 and "LOOPBACK,UP" in shown

    place.run(scenario)


def test_networks_of_the_users_own(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        asked_ = NetworkCreate(Name="apps", IPAM=IPAM(Config=[IPAMConfig(Subnet="10.9.0.0/24")]))
        network = await custom.create(controller, asked_)
        endpoints = {"apps": EndpointSettings(Aliases=["db"])}
        one = await begin(controller, replace(place.request(1, NetworkMode="apps"), endpoints=endpoints))
        two = await begin(controller, place.request(2, NetworkMode="apps"))
        assert "10.9.0.2\tbox1 db 111111111111" in two.hosts_path.read_text()
        assert "10.9.0.3\tbox2" in one.hosts_path.read_text()
        three = await begin(controller, place.request(3))
        await custom.attach(controller, three.container_id, network, EndpointSettings())
        assert [end.interface for end in three.endpoints] == ["eth0", "eth1"]
        assert "box3" in one.hosts_path.read_text()
        with pytest.raises(PermissionDenied, match="has active endpoints"):
            await custom.remove(controller, "apps")
        await custom.detach(controller, three.container_id, network)
        assert "box3" not in one.hosts_path.read_text() and "box1" not in three.hosts_path.read_text()
        for sandbox in (one, two):
            await controller.release(sandbox.container_id)
        await custom.remove(controller, "apps")
        assert network.link not in place.links() and network.link not in place.rules()
        with pytest.raises(NotFound):
            controller.networks.get("apps")

    place.run(scenario)


def test_a_bridge_of_the_users_own_is_left(place: Place) -> None:
    place.namespace.ip("link", "add", "mybr", "type", "bridge")
    place.namespace.ip("addr", "add", "10.7.0.1/24", "dev", "mybr")

    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1))
        assert str(sandbox.endpoints[0].address) == "10.7.0.2"
        await controller.stop()

    place.run(scenario, bridge="mybr")
    assert "mybr" in place.links() and "docker0" not in place.links()


def test_a_bridge_that_is_missing_is_told(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(NotFound, match="bridge device with non default name nope must be created manually"):
        place.run(scenario, bridge="nope")


def test_the_flags_of_the_default_bridge(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1))
        (endpoint,) = sandbox.endpoints
        assert (str(endpoint.address), endpoint.prefix, str(endpoint.gateway)) == ("10.8.0.128", 24, "10.8.0.9")
        assert "mtu 1400" in place.namespace.ip("link", "show", "docker0")
        assert "10.8.0.1/24" in place.namespace.ip("addr", "show", "docker0")
        assert "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP" in place.rules()
        assert "MASQUERADE" not in place.rules()

    place.run(scenario, bip="10.8.0.1/24", fixed_cidr="10.8.0.128/25", default_gateway="10.8.0.9", mtu=1400, icc=False,
              ip_masq=False)


def test_without_iptables_no_rule_is_made(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        server = echo(await begin(controller, place.request(1, PortBindings=WEB)))
        assert await asyncio.to_thread(asked, "127.0.0.1", 8080) == "172.17.0.1"
        assert "-A" not in place.rules()
        stop(server)

    place.run(scenario, iptables=False)

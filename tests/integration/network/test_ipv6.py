"""IPv6 on bridges: addresses without duplicate detection, rules of ip6tables, ports, forwarding, adoption."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument, PermissionDenied
from services.dockerd.network import custom, netns
from services.dockerd.network.controller import Controller
from services.dockerd.schema.container import EndpointSettings, PortBinding
from services.dockerd.schema.network import IPAM, IPAMConfig, NetworkCreate
from tests.integration.network.place import WEB, Place, asked, begin, echo, ip_inside, stop

ALL = Path("/proc/sys/net/ipv6/conf/all/forwarding")


def wanted(name: str, *subnets: str, **more: bool) -> NetworkCreate:
    return NetworkCreate(
        Name=name, EnableIPv6=True, IPAM=IPAM(Config=[IPAMConfig(Subnet=each) for each in subnets]), **more)


def test_the_default_bridge_has_ipv6(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1))
        shown = ip_inside(sandbox, "-o", "-6", "addr", "show", "eth0")
        assert "inet6 fd01::2/64 scope global nodad" in shown and "global tentative" not in shown
        assert "default via fd01::1 dev eth0" in ip_inside(sandbox, "-6", "route")
        bridge = place.namespace.ip("-6", "addr", "show", "docker0")
        assert "fd01::1/64" in bridge and "fe80::1/64" in bridge
        assert sandbox.hosts_path.read_text().splitlines()[-2:] == ["172.17.0.2\tbox1", "fd01::2\tbox1"]
        assert ":FORWARD DROP" in place.rules("ip6tables") and place.namespace.call(ALL.read_text) == "1\n"
        assert "-A POSTROUTING -s fd01::/64 ! -o docker0 -j MASQUERADE" in place.rules("ip6tables")
        await controller.stop()

    place.run(scenario, ipv6=True, fixed_cidr_v6="fd01::/64")
    assert "-A" not in place.rules("ip6tables") and ":FORWARD ACCEPT" in place.rules("ip6tables")
    assert place.namespace.call(ALL.read_text) == "0\n"


@pytest.mark.parametrize("proxied", [True, False])
def test_ports_are_reached_by_ipv6(place: Place, proxied: bool) -> None:
    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1, PortBindings=WEB))
        other = await begin(controller, place.request(2))
        server = echo(sandbox)
        places = ["fd01::1", "172.17.0.1", "127.0.0.1", *(["::1"] if proxied else [])]
        for address in places:
            assert await asyncio.to_thread(asked, address, 8080)
        for inside in (sandbox, other):
            path = Path(inside.netns_path)
            assert await asyncio.to_thread(netns.inside, path, lambda: asked("fd01::1", 8080))
            assert await asyncio.to_thread(netns.inside, path, lambda: asked("172.17.0.1", 8080))
        rules = place.rules("ip6tables")
        assert "--dport 8080 -j DNAT --to-destination [fd01::2]:80" in rules
        assert "-A PREROUTING -d fd01::2/128 ! -i docker0 -j DROP" in rules
        stop(server)
        await controller.release(sandbox.container_id)
        await controller.release(sandbox.container_id)
        assert "fd01::2" not in place.rules("ip6tables")

    place.run(scenario, ipv6=True, fixed_cidr_v6="fd01::/64", userland_proxy=proxied)


def test_a_port_on_one_address_of_ipv6(place: Place) -> None:
    bindings = {"80/tcp": [PortBinding(HostIp="::1", HostPort="8080")]}

    async def scenario(controller: Controller) -> None:
        server = echo(await begin(controller, place.request(1, PortBindings=bindings)))
        assert await asyncio.to_thread(asked, "::1", 8080) == "172.17.0.1"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(asked, "127.0.0.1", 8080)
        stop(server)

    place.run(scenario)


def test_a_network_of_the_users_own_has_both(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        assert "-A" not in place.rules("ip6tables")
        network = await custom.create(controller, wanted("apps", "fd02::/64", "10.9.0.0/24"))
        one = await begin(controller, place.request(1, NetworkMode="apps"))
        two = await begin(controller, place.request(2, NetworkMode="apps"))
        assert [end.addresses for end in (*one.endpoints, *two.endpoints)] == [
            ["10.9.0.2", "fd02::2"], ["10.9.0.3", "fd02::3"]
        ]
        server = echo(one)
        for address in ("10.9.0.2", "fd02::2"):
            answer = netns.inside(Path(two.netns_path), lambda address=address: asked(address, 80))  # type: ignore[misc]
            assert answer in ("10.9.0.3", "fd02::3")
        assert "fd02::2\tbox1" in two.hosts_path.read_text()
        await controller.release(two.container_id)
        assert "fd02::3" not in one.hosts_path.read_text()
        stop(server)
        await controller.release(one.container_id)
        await custom.remove(controller, "apps")
        assert network.link not in place.rules("ip6tables")

    place.run(scenario)


def test_a_network_without_ipv4(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        network = await custom.create(controller, wanted("apps", EnableIPv4=False))
        assert network.v4 is None and network.v6 and str(network.v6.subnet).startswith("fd")
        sandbox = await begin(controller, place.request(1, NetworkMode="apps", PortBindings=WEB))
        assert "inet 172" not in ip_inside(sandbox, "addr", "show", "eth0")
        assert {each.host_ip for each in sandbox.endpoints[0].bindings} == {"::"}
        server = echo(sandbox)
        assert await asyncio.to_thread(asked, "::1", 8080)
        stop(server)

    place.run(scenario)


def test_a_wished_address(place: Place) -> None:
    asked_for = {"apps": EndpointSettings.model_validate({"IPAMConfig": {"IPv6Address": "fd02::77"}})}

    async def scenario(controller: Controller) -> None:
        await custom.create(controller, wanted("apps", "fd02::/64"))
        request = replace(place.request(1, NetworkMode="apps"), endpoints=asked_for)
        sandbox = await begin(controller, request)
        assert "inet6 fd02::77/64" in ip_inside(sandbox, "-6", "addr")

    place.run(scenario)


def test_a_successor_adopts_ipv6(place: Place) -> None:
    request = place.request(1, PortBindings=WEB)
    flags = {"ipv6": True, "fixed_cidr_v6": "fd01::/64"}
    sandbox = place.run(lambda controller: begin(controller, request), **flags)
    server = echo(sandbox)
    before = sorted(line for line in place.rules("ip6tables").splitlines() if line.startswith("-A"))
    place.namespace.run("ip6tables", "-t", "nat", "-F")
    stale = "-A DOCKER -i docker0 -p tcp -m tcp --dport 1 -j DROP"
    place.namespace.run("ip6tables", *stale.split())

    async def second(controller: Controller) -> None:
        assert await asyncio.to_thread(asked, "fd01::1", 8080)
        other = await begin(controller, place.request(2))
        assert str(other.endpoints[0].address6) == "fd01::3"
        await controller.release(other.container_id)

    place.again([request], second, **flags)
    after = sorted(line for line in place.rules("ip6tables").splitlines() if line.startswith("-A"))
    assert after == before
    stop(server)


def test_leftover_rules_go_with_the_flag(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        pass

    place.run(scenario, ipv6=True, fixed_cidr_v6="fd01::/64")
    assert "docker0" in place.rules("ip6tables")
    place.run(scenario)
    assert "docker0" not in place.rules("ip6tables")


def test_without_ip6tables_the_proxy_serves(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        server = echo(await begin(controller, place.request(1, PortBindings=WEB)))
        assert await asyncio.to_thread(asked, "fd01::1", 8080) == "fd01::1"
        assert "-A" not in place.rules("ip6tables")
        stop(server)

    place.run(scenario, ipv6=True, fixed_cidr_v6="fd01::/64", ip6tables=False)


def test_what_docker_refuses(place: Place) -> None:
    async def scenario(controller: Controller) -> None:
        for asked_, problem in (
            (wanted("a", "fd02::1/64"), "it should be fd02::/64"),
            (wanted("a", EnableIPv4=False).model_copy(update={"EnableIPv6": False}), "IPv4 or IPv6 must be enabled"),
        ):
            with pytest.raises(InvalidArgument, match=problem):
                await custom.create(controller, asked_)
        with pytest.raises(PermissionDenied, match="bridge driver doesn't support multiple subnets"):
            await custom.create(controller, wanted("a", "fd02::/64", "fd03::/64"))
        await custom.create(controller, wanted("a", "fd02::/64"))
        with pytest.raises(PermissionDenied, match="Pool overlaps"):
            await custom.create(controller, wanted("b", "fd02::/80"))

    place.run(scenario)


def test_udp_is_answered_over_ipv6(place: Place) -> None:
    bindings = {"53/udp": [PortBinding(HostPort="5353")]}

    async def scenario(controller: Controller) -> None:
        sandbox = await begin(controller, place.request(1, PortBindings=bindings))
        server = netns.inside(
            Path(sandbox.netns_path), lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        server.bind(("::", 53))

        def ask() -> bytes:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.sendto(b"hello", ("::1", 5353))
                data, peer = server.recvfrom(99)
                server.sendto(data[::-1], peer)
                return client.recv(99)

        assert await asyncio.to_thread(ask) == b"olleh"
        server.close()

    place.run(scenario, ipv6=True, fixed_cidr_v6="fd01::/64")

"""Options of bridge networks and of a container's end on them: who reaches whom, seen from a neighbour of the host."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import HOST, NEIGHBOUR, Engine
from tests.harness.netns import Namespace
from tests.harness.wait import until

pytestmark = pytest.mark.ours
SUBNET, BOX = "10.77.0.0/24", "10.77.0.9"
BRIDGE = "com.docker.network.bridge."
SERVE = "for port in 80 81; do nc -ll -p $port -e echo hello & done; wait"


@pytest.fixture(scope="module", autouse=True)
def routed(engine: Engine) -> Iterator[None]:
    """The neighbour knows its way to containers: by the host."""
    engine.neighbour.ip("route", "add", "10.0.0.0/8", "via", HOST)
    yield
    engine.neighbour.ip("route", "del", "10.0.0.0/8", "via", HOST)


def create(docker: Docker, name: str, *options: str, flags: tuple[str, ...] = ()) -> None:
    words = [word for option in options for word in ("-o", option)]
    docker.ok("network", "create", "--subnet", SUBNET, *flags, *words, name)


def serve(docker: Docker, name: str, *flags: str) -> None:
    docker.ok("run", "-d", "--name", name, "--network", name, "--ip", BOX, *flags, "busybox", "sh", "-c", SERVE)
    until(lambda: listening(docker, name) == {"0050", "0051"}, "it listens")


def listening(docker: Docker, box: str) -> set[str]:
    return set(re.findall(r":(\w{4}) 0+:0000 0A", docker.ok("exec", box, "cat", "/proc/net/tcp", "/proc/net/tcp6")))


def reached(place: Namespace, host: str, port: int, timeout: float) -> bool:
    try:
        with place.connect(host, port, timeout=timeout) as sock:
            return sock.recv(64) == b"hello\n"
    except OSError:
        return False


def opened(engine: Engine, wanted: list[bool]) -> list[bool]:
    """Whether the neighbour reaches the published port of the host, the published one and another of the container.
    What is to answer has time for it."""
    places = zip(((HOST, 8077), (BOX, 80), (BOX, 81)), wanted, strict=True)
    return [reached(engine.neighbour, host, port, 15 if good else 1) for (host, port), good in places]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), [True, False, False]),
        ((f"{BRIDGE}gateway_mode_ipv4=nat",), [True, False, False]),
        ((f"{BRIDGE}gateway_mode_ipv4=nat-unprotected",), [True, True, True]),
        ((f"{BRIDGE}gateway_mode_ipv4=routed",), [False, True, False]),
        ((f"{BRIDGE}trusted_host_interfaces=nosuch0:uplink",), [True, True, False]),
        ((f"{BRIDGE}trusted_host_interfaces=nosuch0",), [True, False, False]),
    ],
    ids=lambda value: "+".join(each.rpartition(".")[2] for each in value) if isinstance(value, tuple) else "",
)
def test_who_is_let_in(
    docker: Docker, engine: Engine, name: str, options: tuple[str, ...], wanted: list[bool]
) -> None:
    create(docker, name, *options)
    serve(docker, name, "-p", "8077:80")
    assert opened(engine, wanted) == wanted


def test_a_routed_network(docker: Docker, engine: Engine, name: str) -> None:
    """No translation in either direction, no port of the host, but pings, and the way from other networks."""
    create(docker, name, f"{BRIDGE}gateway_mode_ipv4=routed")
    serve(docker, name, "-p", "8077:80")
    (info,) = json.loads(docker.ok("inspect", name))
    assert info["NetworkSettings"]["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]}
    assert docker.ok("ps", "--filter", f"name={name}", "--format", "{{.Ports}}") == "80/tcp"
    assert engine.neighbour.run("busybox", "ping", "-c", "1", "-W", "5", BOX).returncode == 0
    assert docker.ok("run", "--rm", "busybox", "nc", "-w", "15", BOX, "80") == "hello"
    assert docker("run", "--rm", "busybox", "nc", "-w", "1", BOX, "81").code
    assert seen_from(docker, engine, name) == BOX
    engine.network.listen("0.0.0.0", 8077).close()


def seen_from(docker: Docker, engine: Engine, box: str) -> str:
    """The address by which the neighbour sees a container."""
    with engine.neighbour.listen(NEIGHBOUR, 7007) as server:
        server.settimeout(10)
        child = docker.start("exec", box, "nc", "-w", "5", NEIGHBOUR, "7007")
        connection, peer = server.accept()
        connection.close()
        child.communicate(timeout=15)
    return str(peer[0])


def test_the_address_containers_go_out_by(docker: Docker, engine: Engine, name: str) -> None:
    other = "198.18.0.77"
    engine.network.ip("address", "add", f"{other}/24", "dev", "uplink")
    try:
        create(docker, name, f"com.docker.network.host_ipv4={other}")
        docker.ok("run", "-d", "--name", name, "--network", name, "busybox", "sleep", "60")
        assert seen_from(docker, engine, name) == other
    finally:
        engine.network.ip("address", "delete", f"{other}/24", "dev", "uplink")


def test_a_network_that_is_not_masqueraded(docker: Docker, engine: Engine, name: str) -> None:
    create(docker, name, f"{BRIDGE}enable_ip_masquerade=false")
    docker.ok("run", "-d", "--name", name, "--network", name, "--ip", BOX, "busybox", "sleep", "60")
    assert seen_from(docker, engine, name) == BOX


def test_an_isolated_network(docker: Docker, engine: Engine, name: str) -> None:
    """Containers reach one another, and nobody else, not even the host."""
    create(docker, name, f"{BRIDGE}gateway_mode_ipv4=isolated", flags=("--internal",))
    (info,) = json.loads(docker.ok("network", "inspect", name))
    assert info["IPAM"]["Config"] == [{"Subnet": SUBNET}]
    assert "inet" not in engine.network.ip("-4", "address", "show", "dev", f"br-{info['Id'][:12]}")
    serve(docker, name)
    assert not reached(engine.network, BOX, 80, timeout=1)
    out = docker.ok("run", "--rm", "--network", name, "busybox", "sh", "-c", f"ip -4 addr show eth0; nc -w 15 {BOX} 80")
    assert "inet 10.77.0.1/24" in out and out.endswith("hello")


def test_a_bridge_that_has_no_address_from_us(docker: Docker, engine: Engine, name: str) -> None:
    create(docker, name, f"{BRIDGE}inhibit_ipv4=true", f"{BRIDGE}name=bare0")
    assert "inet " not in engine.network.ip("-4", "address", "show", "dev", "bare0")
    assert "default via 10.77.0.1" in docker.ok("run", "--rm", "--network", name, "busybox", "ip", "route")


def test_a_bridge_that_was_there_before(docker: Docker, engine: Engine, name: str) -> None:
    """It keeps its addresses, and stays when the network goes."""
    engine.network.ip("link", "add", "mine0", "type", "bridge")
    try:
        engine.network.ip("address", "add", "192.0.2.1/24", "dev", "mine0")
        create(docker, name, f"{BRIDGE}name=mine0")
        shown = engine.network.ip("-4", "address", "show", "dev", "mine0")
        assert "192.0.2.1/24" in shown and "10.77.0.1/24" in shown
        text = docker.fails("network", "create", "-o", f"{BRIDGE}name=mine0", f"{name}-two")
        assert "networks have same bridge name" in text
        docker.ok("network", "rm", name)
        assert "192.0.2.1/24" in engine.network.ip("-4", "address", "show", "dev", "mine0")
    finally:
        engine.network.ip("link", "delete", "mine0")


def test_containers_that_are_kept_apart(docker: Docker, name: str) -> None:
    create(docker, name, f"{BRIDGE}enable_icc=false")
    serve(docker, name)
    assert docker("run", "--rm", "--network", name, "busybox", "nc", "-w", "1", BOX, "80").code


def test_the_way_out_by_another(docker: Docker, name: str) -> None:
    create(docker, name, flags=("--aux-address", "DefaultGatewayIPv4=10.77.0.200"))
    assert "default via 10.77.0.200" in docker.ok("run", "--rm", "--network", name, "busybox", "ip", "route")


def test_names_and_settings_of_interfaces(docker: Docker, name: str) -> None:
    create(docker, name, "com.docker.network.container_iface_prefix=lan", "com.docker.network.driver.mtu=1400")
    docker.ok("network", "create", f"{name}-two")
    ends = f"name={name}", ",".join((
        f"name={name}-two", "driver-opt=com.docker.network.endpoint.ifname=up0",
        "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.forwarding=1"))
    out = docker.ok(
        "run", "--rm", "--network", ends[0], "--network", ends[1], "busybox", "sh", "-c",
        "cat /sys/class/net/lan0/mtu; ls /sys/class/net; cat /proc/sys/net/ipv4/conf/up0/forwarding")
    assert out.split() == ["1400", "lan0", "lo", "up0", "1"]
    own = ("--sysctl", "net.ipv4.conf.eth0.forwarding=1")
    read = ("busybox", "cat", "/proc/sys/net/ipv4/conf/eth0/forwarding")
    assert [docker.ok("run", "--rm", *flags, *read) for flags in ((), own)] == ["0", "1"]
    text = docker.fails("run", "--rm", "--network", ends[1].replace("IFNAME", "eth0"), "busybox", "true", code=125)
    assert "unrecognised network interface sysctl" in text


def test_all_of_it_is_there_after_a_restart(fresh: Callable[..., Engine], name: str) -> None:
    engine = fresh()
    docker = engine.docker
    engine.neighbour.ip("route", "add", "10.0.0.0/8", "via", HOST)
    create(docker, name, f"{BRIDGE}gateway_mode_ipv4=routed")
    serve(docker, name, "-p", "8077:80")
    rules = engine.network.run("iptables-save").stdout
    engine.kill()
    engine.start()
    wanted = [False, True, False]
    assert opened(engine, wanted) == wanted
    kept = (b"-A", b":DOCKER")
    assert lines(engine.network.run("iptables-save").stdout, kept) == lines(rules, kept)
    docker.ok("rm", "-f", name)
    docker.ok("network", "rm", name)
    until(lambda: b"10.77." not in engine.network.run("iptables-save").stdout, "its rules are gone")


def lines(saved: bytes, starts: tuple[bytes, ...]) -> list[bytes]:
    return sorted(line.split(b" [")[0] for line in saved.splitlines() if line.startswith(starts))

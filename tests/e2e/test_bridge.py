"""The flags of the default bridge, as flags and as keys of daemon.json: what they do to links, rules and containers."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import clean
from tests.harness import told
from tests.harness.cli import Docker
from tests.harness.engine import HOST, REFERENCE, Engine
from tests.harness.wait import until

SETTINGS: list[told.Row] = [
    (("--bip=10.44.0.1/16",), "bip", "10.44.0.1/16"),
    (("--fixed-cidr=10.44.7.0/24",), "fixed-cidr", "10.44.7.0/24"),
    (("--default-gateway=10.44.0.254",), "default-gateway", "10.44.0.254"),
    (("--mtu=1400",), "mtu", 1400),
    (("--icc=false",), "icc", False),
    (("--ip=127.0.0.1",), "ip", "127.0.0.1"),
    (("--ip-masq=false",), "ip-masq", False),
    (("--ipv6=true",), "ipv6", True),
    (("--fixed-cidr-v6=fd44::/64",), "fixed-cidr-v6", "fd44::/64"),
    (("--dns=192.0.2.53", "--dns=2001:db8::53"), "dns", ["192.0.2.53", "2001:db8::53"]),
    (("--dns-opt=ndots:3",), "dns-opts", ["ndots:3"]),
    (("--dns-search=example.test",), "dns-search", ["example.test"]),
    (("--default-address-pool=base=10.80.0.0/16,size=24",), "default-address-pools",
     [{"base": "10.80.0.0/16", "size": 24}]),
    (("--userland-proxy=false",), "userland-proxy", False),
]
NEW: list[told.Row] = [
    (("--host-gateway-ip=192.0.2.9", "--host-gateway-ip=2001:db8::9"), "host-gateway-ips",
     ["192.0.2.9", "2001:db8::9"]),
    (("--default-gateway-v6=fd44::fe",), "default-gateway-v6", "fd44::fe"),
    (("--default-network-opt=bridge=com.docker.network.driver.mtu=1300",), "default-network-opts",
     {"bridge": {"com.docker.network.driver.mtu": "1300"}}),
    (("--bridge-accept-fwmark=0x7/0xff",), "bridge-accept-fwmark", "0x7/0xff"),
    (("--bip6=fd44::5/64",), "bip6", "fd44::5/64"),
    (("--firewall-backend=iptables",), "firewall-backend", "iptables"),
]
"""What the reference is too old for."""


@pytest.fixture(scope="module", params=told.BY)
def bridged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    file = tmp_path_factory.mktemp("bridge") / "daemon.json"
    with Engine(*told.words(request.param, SETTINGS if REFERENCE else SETTINGS + NEW, file)) as engine:
        yield engine


@pytest.fixture
def docker(bridged: Engine) -> Iterator[Docker]:
    yield bridged.docker
    clean(bridged.api)


def rules(engine: Engine, program: str = "iptables") -> str:
    return engine.network.run(f"{program}-save").stdout.decode()


def test_the_bridge_itself(bridged: Engine, docker: Docker) -> None:
    shown = bridged.network.ip("addr", "show", "docker0")
    assert "inet 10.44.0.1/16" in shown and "inet6 fe80::1/64" in shown
    assert f"inet6 fd44::{'1' if REFERENCE else '5'}/64" in shown
    (info,) = json.loads(docker.ok("network", "inspect", "bridge"))
    assert info["EnableIPv6"] is True
    config = {each["Subnet"]: each for each in info["IPAM"]["Config"]}
    assert config["10.44.0.0/16"]["IPRange"] == "10.44.7.0/24" and "fd44::/64" in config
    options = info["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"
    assert options["com.docker.network.driver.mtu"] == "1400"


def test_a_container_on_it(bridged: Engine, docker: Docker) -> None:
    script = "ip addr show eth0; ip route; ip -6 route; cat /etc/resolv.conf"
    out = docker.ok("run", "--rm", "busybox", "sh", "-c", script)
    assert re.search(r"inet 10\.44\.7\.\d+/16", out) and re.search(r"inet6 fd44::.*/64 scope global", out)
    assert "mtu 1400" in out and "default via 10.44.0.254" in out
    assert f"default via fd44::{'1' if REFERENCE else 'fe'} " in out
    assert "nameserver 192.0.2.53" in out and "nameserver 2001:db8::53" in out
    assert "search example.test" in out and "options ndots:3" in out


def test_its_links_have_its_mtu(bridged: Engine, docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    assert re.search(r"veth\w+@\S+ .*mtu 1400 .*master docker0", bridged.network.ip("link"))


def test_inspect_tells_of_ipv6(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    (info,) = json.loads(docker.ok("inspect", name))
    settings = info["NetworkSettings"]
    assert settings["GlobalIPv6Address"].startswith("fd44::") and settings["GlobalIPv6PrefixLen"] == 64
    hosts = docker.ok("exec", name, "cat", "/etc/hosts")
    assert settings["IPAddress"] in hosts and settings["GlobalIPv6Address"] in hosts


def test_containers_are_kept_apart_but_for_links(bridged: Engine, docker: Docker, name: str) -> None:
    serve = "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp"
    docker.ok("run", "-d", "--name", name, "-e", "COLOUR=red", "--expose", "80", "busybox", "sh", "-c", serve)
    address = docker.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
    fetch = "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 {} 80"
    assert "timed out" in docker("run", "--rm", "busybox", "sh", "-c", fetch.format(address)).err
    linked = ("run", "--rm", "--link", f"{name}:db", "busybox", "sh", "-c")
    assert "200 OK" in docker.ok(*linked, fetch.format("$DB_PORT_80_TCP_ADDR"))
    shown = docker.ok(*linked, "env").splitlines()
    assert {f"DB_PORT=tcp://{address}:80", f"DB_PORT_80_TCP_ADDR={address}", "DB_ENV_COLOUR=red"} <= set(shown)
    assert f"-d {address}/32 -i docker0" not in rules(bridged)


def test_links_follow_and_are_removed(bridged: Engine, docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--expose", "80", "busybox", "sleep", "99")
    docker.ok("run", "-d", "--name", f"{name}-web", "--link", f"{name}:db", "busybox", "sleep", "99")
    assert docker.ok("inspect", "-f", "{{json .HostConfig.Links}}", f"{name}-web") == f'["/{name}:/{name}-web/db"]'
    docker.ok("rename", name, f"{name}-db")
    assert docker.ok("inspect", "-f", "{{json .HostConfig.Links}}", f"{name}-web") == f'["/{name}-db:/{name}-web/db"]'
    docker.ok("restart", "-t", "0", f"{name}-web")
    docker.ok("rename", f"{name}-db", name)
    docker.ok("stop", "-t", "0", name)
    docker.ok("run", "-d", "--name", f"{name}-other", "busybox", "sleep", "99")
    docker.ok("start", name)
    address = docker.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
    hosts = docker.ok("exec", f"{name}-web", "cat", "/etc/hosts")
    assert next(line.split()[0] for line in hosts.splitlines() if "db" in line.split()) == address
    if not REFERENCE:  # which makes no rules for one that starts again
        assert f"-d {address}/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT" in rules(bridged)
    docker.ok("rm", "--link", f"{name}-web/db")
    assert docker.ok("inspect", "-f", "{{json .HostConfig.Links}}", f"{name}-web") in ("null", "[]")
    if not REFERENCE:  # which forgets the rules' only at the end of the container
        assert "db" not in docker.ok("exec", f"{name}-web", "cat", "/etc/hosts").split()
        assert f"-d {address}/32 -i docker0" not in rules(bridged)


def test_a_link_that_leads_nowhere(docker: Docker, name: str) -> None:
    text = docker.fails("run", "--link", "nobody:db", "busybox", "true", code=125)
    assert "could not get container for nobody" in text
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "99")
    docker.fails("rm", "--link", f"{name}/db")


def test_published_ports_are_the_hosts_own(bridged: Engine, docker: Docker, name: str) -> None:
    """By --ip on loopback, without a proxy: rules and route_localnet bring it."""
    serve = "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp"
    docker.ok("run", "-d", "--name", name, "-p", "18080:80", "busybox", "sh", "-c", serve)
    assert docker.ok("port", name, "80") == "127.0.0.1:18080"
    with bridged.network.connect("127.0.0.1", 18080) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in sock.recv(99)
    with pytest.raises(OSError, match=r"refused|timed out"):
        bridged.neighbour.connect(HOST, 18080, timeout=1).close()
    assert "MASQUERADE" in rules(bridged) and "-s 10.44.0.0/16 ! -o docker0 -j MASQUERADE" not in rules(bridged)
    assert "hairpin on" in bridged.network.run("bridge", "-d", "link", "show").stdout.decode()


@pytest.mark.ours  # Docker leaves the way open that route_localnet makes
def test_the_hosts_loopback_is_not_the_containers(bridged: Engine, docker: Docker, name: str) -> None:
    """Without a proxy the bridge takes packets for loopback: answers, but no questions."""
    own = "for each in 127.0.0.1 127.0.0.0/8; do ip route del local $each dev lo table local; done"
    lead = f"{own}; ip route add 127.0.0.0/8 via 10.44.0.1"
    switches = [f"--sysctl=net.ipv4.conf.all.{switch}=1" for switch in ("route_localnet", "accept_local")]
    ask = f"{lead}; timeout 1 nc 127.0.0.1 18099 </dev/null; echo asked"
    words = ("run", "--rm", "--cap-add", "NET_ADMIN", *switches, "busybox", "sh", "-c", ask)
    with bridged.network.listen("127.0.0.1", 18099) as listening:
        listening.setblocking(False)
        assert docker.ok(*words) == "asked"
        with pytest.raises(BlockingIOError):
            listening.accept()
        bridged.network.run("iptables", "-t", "raw", "-F", "PREROUTING")
        assert docker.ok(*words) == "asked"
        listening.accept()[0].close()  # it is the rule that keeps them away
    docker.ok("run", "-d", "--name", name, "-p", "18080:80", "busybox", "sleep", "60")
    bridged.network.run("iptables", "-t", "raw", "-F", "PREROUTING")
    docker.ok("rm", "-f", name)
    saved = bridged.network.run("iptables-save", "-t", "raw").stdout.decode()
    assert "-A PREROUTING -d 127.0.0.0/8 -i docker0 -j DROP" in saved, "mended, as something was missing"
    assert "--dport 18080" not in saved


def test_own_networks_come_from_the_pool(docker: Docker, name: str) -> None:
    docker.ok("network", "create", name)
    (info,) = json.loads(docker.ok("network", "inspect", name))
    assert info["IPAM"]["Config"][0]["Subnet"].startswith("10.80.") and info["EnableIPv6"] is False
    if not REFERENCE:
        assert info["Options"]["com.docker.network.driver.mtu"] == "1300"


@pytest.mark.ours
def test_the_newer_flags(bridged: Engine, docker: Docker) -> None:
    hosts = docker.ok("run", "--rm", "--add-host", "gw:host-gateway", "busybox", "cat", "/etc/hosts")
    assert {"192.0.2.9", "2001:db8::9"} == {line.split()[0] for line in hosts.splitlines() if line.endswith("gw")}
    assert "-A DOCKER ! -i docker0 -o docker0 -m mark --mark 0x7/0xff -j ACCEPT" in rules(bridged)
    assert "-A DOCKER" in rules(bridged, "ip6tables")
    assert bridged.api.get("/info")["FirewallBackend"]["Driver"] == "iptables"


def test_forwarding_is_switched_on_and_the_rest_dropped(bridged: Engine) -> None:
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        assert bridged.network.call(Path("/proc/sys/net", path).read_text) == "1\n"
    assert ":FORWARD DROP" in rules(bridged)


def test_a_changed_address_replaces_the_old_one(fresh: Callable[..., Engine]) -> None:
    engine = fresh("--bip=10.45.0.1/24")
    assert "inet 10.45.0.1/24" in engine.network.ip("addr", "show", "docker0")
    if REFERENCE:  # it leaves docker0 at a graceful end
        engine.stop()
    else:
        engine.kill()
    engine.flags = ["--bip=10.46.0.1/24", "--mtu=1450"]
    engine.start()
    shown = engine.network.ip("-4", "addr", "show", "docker0")
    assert "inet 10.46.0.1/24" in shown and "10.45" not in shown
    assert engine.docker.ok("run", "--rm", "busybox", "hostname", "-i").startswith("10.46.0.")
    assert "10.45.0" not in rules(engine)
    engine.stop()


OPEN: list[told.Row] = [
    (("--allow-direct-routing",), "allow-direct-routing", True),
    (("--ip-forward-no-drop",), "ip-forward-no-drop", True),
    (("--ip6tables=false",), "ip6tables", False),
]


@pytest.mark.ours
@pytest.mark.parametrize("by", told.BY)
def test_direct_routing(fresh: Callable[..., Engine], by: str) -> None:
    """A neighbour that routes to containers is dropped, unless flags let it in; forwarding goes on at any rate."""
    engine = fresh(start=False)
    engine.flags = told.words(by, OPEN, engine.root / "daemon.json")
    engine.start()
    engine.load()
    engine.neighbour.ip("route", "add", "172.17.0.0/16", "via", HOST)
    serve = "httpd -p 81; exec httpd -f -p 80"
    run = ("run", "-d", "--name", "web", "-p", "18081:80", "busybox", "sh", "-c", serve)
    engine.docker.ok(*run)
    address = engine.docker.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
    until(lambda: _reaches(engine, address, 80), "the published port is reached by the container's own address")
    assert not _reaches(engine, address, 81)
    assert engine.network.call(Path("/proc/sys/net/ipv4/ip_forward").read_text) == "1\n"
    assert ":FORWARD ACCEPT" in rules(engine)
    assert "-A" in rules(engine) and "-A" not in rules(engine, "ip6tables")
    if by == "flags":
        other_addresses(engine, address)
    engine.docker.ok("rm", "-f", "web")
    engine.stop()


def other_addresses(engine: Engine, address: str) -> None:
    """The same daemon without, and then with another subnet, while the container goes on."""
    engine.kill()
    engine.flags = ["--live-restore"]
    engine.start()
    assert not _reaches(engine, address, 80) and _reaches(engine, HOST, 18081)
    engine.kill()
    engine.flags = ["--live-restore", "--bip=10.49.0.1/24"]
    engine.start()
    assert engine.docker.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web") == address
    assert "has an address that its network has no more: restart it" in engine.log.read_text()
    engine.docker.ok("restart", "-t", "0", "web")
    assert engine.docker.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").startswith("10.49.0.")
    until(lambda: _reaches(engine, HOST, 18081), "the port is reached again")
    assert address not in rules(engine)


def _reaches(engine: Engine, host: str, port: int) -> bool:
    try:
        engine.neighbour.connect(host, port, timeout=1).close()
    except OSError:
        return False
    return True


def test_without_forwarding_containers_are_warned(fresh: Callable[..., Engine]) -> None:
    engine = fresh("--ip-forward=false", "--iptables=false", "--log-level=error")
    assert "API listen on" not in engine.log.read_text(), "which is of level info"
    assert engine.network.call(Path("/proc/sys/net/ipv4/ip_forward").read_text) == "0\n"
    done = engine.docker("run", "--rm", "busybox", "true")
    assert "WARNING: IPv4 forwarding is disabled. Networking will not work." in done.err
    assert "WARNING: IPv4 forwarding is disabled" in engine.docker("info").err
    assert "disabled" not in engine.docker("run", "--rm", "--network", "none", "busybox", "true").err
    assert "-A" not in rules(engine)
    engine.stop()


def test_a_bridge_of_ones_own(fresh: Callable[..., Engine]) -> None:
    engine = fresh("--bridge=mine", start=False)
    engine.network.ip("link", "add", "mine", "type", "bridge")
    engine.network.ip("addr", "add", "10.47.0.1/24", "dev", "mine")
    engine.network.ip("addr", "add", "10.48.0.1/24", "dev", "mine")
    engine.start()
    engine.load()
    assert engine.docker.ok("run", "--rm", "busybox", "hostname", "-i").startswith("10.47.0.")
    engine.stop()
    shown = engine.network.ip("addr", "show", "mine")
    assert "10.47.0.1/24" in shown and "10.48.0.1/24" in shown
    row = ("--bridge=none",), "bridge", "none"
    engine.flags = told.words("file", [row], engine.root / "daemon.json")
    engine.start()
    assert "eth0" not in engine.docker.ok("run", "--rm", "busybox", "ip", "link")
    engine.stop()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-b=x", "--bip=10.0.0.1/8"], "You specified -b & --bip, mutually exclusive options. Please specify only one"),
        (["--iptables=false", "--icc=false"], "You specified --iptables=false with --icc=false"),
        (["--bip=10.0.0.1"], "invalid CIDR address: 10.0.0.1"),
        (["-b=nope"], "bridge device with non default name nope must be created manually"),
        (
            ["--bip=10.0.0.1/24", "--default-gateway=10.1.0.1"],
            "auxiliary address: (DefaultGatewayIPv4:10.1.0.1) must belong to the master pool: 10.0.0.0/24",
        ),
        (["--mtu=-1"], "MTU"),
    ],
)
def test_what_cannot_be(fresh: Callable[..., Engine], words: list[str], problem: str) -> None:
    engine = fresh(start=False)
    code, said = engine.fails_to_start(*words)
    assert code and problem in said


@pytest.mark.ours
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--bip=10.0.0.1/24", "--fixed-cidr=10.1.0.0/25"], "container subnet must be a subset of bridge network"),
        (["--host-gateway-ip=1.1.1.1", "--host-gateway-ip=1.1.1.2"], "only one IPv4 host gateway IP address"),
        (["--firewall-backend=nftables"], "firewall-backend nftables is not supported"),
    ],
)
def test_what_cannot_be_either(fresh: Callable[..., Engine], words: list[str], problem: str) -> None:
    test_what_cannot_be(fresh, words, problem)

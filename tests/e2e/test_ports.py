"""Published ports: from everywhere they must be reachable, in every spelling, for TCP and UDP."""

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import HOST, SUBNET, Engine
from tests.harness.netns import astray
from tests.harness.python import ASK, SERVE, host_python
from tests.harness.wait import until

ECHO_PORT = 7007


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[str]:
    """A container that echoes on 7007, TCP and UDP, published as 17007, ephemeral, and on 127.0.0.2 alone."""
    docker = engine.docker
    flags = ("-p", "17007:7007", "-p", "17007:7007/udp", "-p", "7007", "-p", "127.0.0.2:17008:7007")
    script = "import subprocess,sys; s=sys.argv[1]; subprocess.Popen([sys.executable,'-S','-c',s,'udp','7007']);"
    script += "sys.argv[1:]=['tcp','7007']; exec(s)"
    docker.ok("run", "-d", "--name", "server", *flags, *host_python(), "-c", script, SERVE)
    until(lambda: docker.ok("logs", "server").count("listening") == 2, "both servers listen")
    yield "server"
    docker.ok("rm", "-f", "server")


@pytest.fixture
def docker(engine: Engine, name: str) -> Iterator[Docker]:
    """Leaves the module's server alone."""
    yield engine.docker
    rest = set(engine.docker.ok("ps", "-aq", "--no-trunc").split()) - set(
        engine.docker.ok("ps", "-aq", "--no-trunc", "--filter", "name=^server$").split()
    )
    if rest:
        engine.docker.ok("rm", "-f", *rest)


def echoed(sock: socket.socket, data: bytes) -> bytes:
    """Sends, ends its own direction, and reads all that comes back."""
    with sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize("place", ["127.0.0.1", HOST, "172.17.0.1"])
def test_tcp_from_the_host(server: str, engine: Engine, place: str) -> None:
    answer = echoed(engine.network.connect(place, 17007), b"hello")
    assert re.fullmatch(rb"hello<5 from \S+>", answer)


def test_tcp_from_another_namespace(server: str, engine: Engine) -> None:
    """And the server sees the client's own address, not the host's."""
    assert echoed(engine.neighbour.connect(HOST, 17007), b"hello") == b"hello<5 from 198.18.0.2>"


@pytest.mark.parametrize("place", [HOST, "172.17.0.1"])
def test_tcp_from_another_container(server: str, docker: Docker, place: str) -> None:
    assert docker("run", "--rm", "-i", "busybox", "nc", place, "17007", stdin=b"hello").out.startswith("hello<5")


@pytest.mark.parametrize("place", [HOST, "172.17.0.1"])
def test_tcp_from_the_container_itself(server: str, docker: Docker, place: str) -> None:
    assert docker("exec", "-i", server, "nc", place, "17007", stdin=b"hello").out.startswith("hello<5")


def asked(sock: socket.socket, place: str, port: int) -> tuple[bytes, str]:
    with sock:
        sock.sendto(b"hello", (place, port))
        data, peer = sock.recvfrom(65536)
    return data, peer[0]


@pytest.mark.parametrize("place", ["127.0.0.1", HOST, "172.17.0.1"])
def test_udp_from_the_host(server: str, engine: Engine, place: str) -> None:
    data, peer = asked(engine.network.udp(), place, 17007)
    assert data.endswith(b" hello") and peer == place


def test_udp_from_another_namespace(server: str, engine: Engine) -> None:
    assert asked(engine.neighbour.udp(), HOST, 17007) == (b"198.18.0.2 hello", HOST)


@pytest.mark.parametrize("place", [HOST, "172.17.0.1"])
@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.ours
def test_udp_from_containers(server: str, docker: Docker, place: str, itself: bool) -> None:
    network = ("--network", f"container:{server}") if itself else ()
    out = docker.ok("run", "--rm", *host_python(*network), "-c", ASK, place, "17007").split()
    assert (out[0], out[2]) == (place, "hello")


def test_half_close_is_kept(server: str, engine: Engine) -> None:
    """The client ends its side, the server answers afterwards, on the proxied and on the translated path."""
    data = b"x" * 700_000
    for sock in (engine.network.connect("127.0.0.1", 17007), engine.neighbour.connect(HOST, 17007)):
        sock.settimeout(20)
        writer = threading.Thread(target=feed, args=(sock, data))
        writer.start()
        seen = b"".join(iter(lambda s=sock: s.recv(65536), b""))  # type: ignore[misc]
        writer.join()
        sock.close()
        assert seen.startswith(data) and seen[len(data) :].startswith(b"<700000 from")


def feed(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_an_idle_connection_stays(server: str, engine: Engine) -> None:
    with engine.network.connect("127.0.0.1", 17007) as sock:
        sock.sendall(b"one")
        assert sock.recv(99) == b"one"
        time.sleep(3)
        sock.sendall(b"two")
        assert sock.recv(99) == b"two"


def test_many_connections_at_once(server: str, engine: Engine) -> None:
    socks = [engine.network.connect("127.0.0.1", 17007) for _ in range(200)]
    try:
        for number, sock in enumerate(socks):
            sock.sendall(b"%d" % number)
        for number, sock in enumerate(socks):
            assert sock.recv(99) == b"%d" % number
    finally:
        for sock in socks:
            sock.close()


def test_a_host_address_alone(server: str, engine: Engine) -> None:
    assert echoed(engine.network.connect("127.0.0.2", 17008), b"a").startswith(b"a<1")
    for network, place in ((engine.network, "127.0.0.1"), (engine.neighbour, HOST)):
        with pytest.raises(OSError):
            network.connect(place, 17008, timeout=1).close()


@pytest.mark.ours  # Docker 20.10 lets them in
def test_a_loopback_address_is_not_the_neighbours(server: str, engine: Engine) -> None:
    """Not even where the host takes packets for loopback from outside."""
    with astray(engine.network, engine.neighbour, SUBNET):
        with pytest.raises(OSError):
            engine.neighbour.connect("127.0.0.2", 17008, timeout=1).close()
        assert echoed(engine.neighbour.connect("127.0.0.1", 17007), b"a").startswith(b"a<1"), "those of all addresses"
    assert echoed(engine.network.connect("127.0.0.2", 17008), b"a").startswith(b"a<1")


def test_an_ephemeral_port(server: str, docker: Docker, engine: Engine) -> None:
    lines = docker.ok("port", server, "7007/tcp").splitlines()
    ports = {int(line.rpartition(":")[2]) for line in lines} - {17007, 17008}
    assert ports and all(32768 <= port <= 65535 for port in ports)
    assert echoed(engine.network.connect("127.0.0.1", min(ports)), b"a").startswith(b"a<1")


def test_a_range(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18000-18004:7000-7004", *host_python(), "-c", SERVE, "tcp", "7003")
    assert docker.ok("port", name, "7004").splitlines()[0] == "0.0.0.0:18004"
    until(lambda: docker.ok("logs", name) == "listening", "it listens")
    assert echoed(engine.network.connect("127.0.0.1", 18003), b"a").startswith(b"a<1")


def test_a_range_for_one_port(docker: Docker, name: str) -> None:
    pair = (name, f"{name}-b")
    for box in pair:
        docker.ok("run", "-d", "--name", box, "-p", "18100-18103:80", "busybox", "sleep", "60")
    first, second = (int(docker.ok("port", box, "80").splitlines()[0].rpartition(":")[2]) for box in pair)
    assert {first, second} <= set(range(18100, 18104)) and first != second


def test_publish_all(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-P", "--expose", "80", "--expose", "81/udp", "busybox", "sleep", "60")
    assert {line.split(" ")[0] for line in docker.ok("port", name).splitlines()} == {"80/tcp", "81/udp"}


def test_a_port_in_use_names_the_holder(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18200:80", "busybox", "sleep", "60")
    text = docker.fails("run", "--name", f"{name}-b", "-p", "18200:81", "busybox", "true", code=125)
    assert re.search(r"Bind for (0\.0\.0\.0|:::?|\[::\]):18200 failed: port is already allocated", text)
    assert docker.inspect(f"{name}-b", "{{.State.Status}}") == "created"
    docker.ok("rm", "-f", name)
    docker.ok("start", f"{name}-b")


@pytest.mark.ours
def test_a_port_in_use_says_by_which_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18210:80", "busybox", "sleep", "60")
    assert name in docker.fails("run", "--rm", "-p", "18210:81", "busybox", "true", code=125)


def test_a_port_of_another_program(docker: Docker, engine: Engine) -> None:
    with engine.network.listen("0.0.0.0", 18300):
        text = docker.fails("run", "--rm", "-p", "18300:80", "busybox", "true", code=125)
    assert "address already in use" in text or "port is already allocated" in text


def test_nothing_stays_after_a_refused_port(docker: Docker, engine: Engine) -> None:
    rules = engine.network.run("iptables-save", "-t", "nat").stdout.count(b"DNAT")
    with engine.network.listen("0.0.0.0", 18310):
        docker.fails("run", "--rm", "-p", "18311:80", "-p", "18310:81", "busybox", "true", code=125)
    assert engine.network.run("iptables-save", "-t", "nat").stdout.count(b"DNAT") == rules
    engine.network.listen("0.0.0.0", 18311).close()


def test_ports_close_with_their_container(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18400:80", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hi")
    engine.network.connect("127.0.0.1", 18400).close()
    docker.ok("rm", "-f", name)
    until(lambda: not reachable(engine, 18400), "the port is closed")
    assert b"--dport 18400 " not in engine.network.run("iptables-save").stdout  # counters may read like it
    docker.ok("run", "--rm", "-p", "18400:80", "busybox", "true")


def reachable(engine: Engine, port: int) -> bool:
    try:
        engine.network.connect("127.0.0.1", port, timeout=1).close()
    except OSError:
        return False
    return True


def test_a_stopped_container_frees_its_ports_and_takes_them_again(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok(
        "run", "-d", "--init", "--name", name, "-p", "18500:80", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hi"
    )
    docker.ok("stop", name)
    assert not reachable(engine, 18500)
    docker.ok("start", name)
    until(lambda: reachable(engine, 18500), "it is open again")


def test_udp_goes_to_the_new_container(docker: Docker, engine: Engine, name: str) -> None:
    """A sender that keeps its source port must not be stuck with a container that is gone."""
    with engine.neighbour.udp(timeout=0.5) as sock:
        for round_ in range(2):
            box = f"{name}-{round_}"
            docker.ok("run", "-d", "--name", box, "-p", "18600:7007/udp", *host_python(), "-c", SERVE, "udp", "7007")
            until(lambda: answered(sock, 18600), "an answer comes")
            docker.ok("rm", "-f", box)


def answered(sock: socket.socket, port: int) -> bool:
    sock.sendto(b"hello", (HOST, port))
    try:
        return sock.recv(999).endswith(b"hello")
    except OSError:
        return False


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("nonsense", "invalid containerPort: nonsense"),
        ("70000:80", "invalid hostPort: 70000"),
        ("80:80/xyz", "invalid proto: xyz"),
        ("1.2.3.4.5:80:80", "invalid IP address: 1.2.3.4.5"),
        ("8000-8005:80-81", "invalid ranges specified for container and host Ports"),
    ],
)
def test_bad_specifications(docker: Docker, spec: str, text: str) -> None:
    assert text.lower() in docker.fails("run", "--rm", "-p", spec, "busybox", "true", code=125).lower()


def test_an_address_the_host_has_not(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "-p", "203.0.113.9:18700:80", "busybox", "true", code=125)
    assert "cannot assign requested address" in text


@pytest.mark.ours
def test_one_proxy_for_a_container(docker: Docker, engine: Engine, name: str) -> None:
    before = set(engine.pids("docker-proxy"))
    docker.ok("run", "-d", "--name", name, "-p", "18800-18809:80-89", "-p", "18800:80/udp", "busybox", "sleep", "60")
    (proxy,) = set(engine.pids("docker-proxy")) - before
    docker.ok("rm", "-f", name)
    until(lambda: proxy not in engine.pids("docker-proxy"), "the proxy is gone")


def test_sctp_needs_the_kernels_module(docker: Docker, name: str) -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        said = docker.fails("run", "--rm", "--name", name, "-p", "17009:7009/sctp", "busybox", "true", code=125)
        assert "protocol not supported" in said
    else:
        docker.ok("run", "-d", "--name", name, "-p", "17009:7009/sctp", "busybox", "sleep", "60")
        assert docker.ok("port", name).startswith("7009/sctp -> 0.0.0.0:17009")

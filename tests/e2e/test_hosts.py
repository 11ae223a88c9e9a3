"""Where the API listens: TLS under the real client, plain ports and web pages, sockets passed by systemd."""

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import told
from tests.harness.certs import Authority, authority
from tests.harness.cli import Docker, end
from tests.harness.engine import REFERENCE, START, Engine
from tests.harness.http import API, dial
from tests.harness.terminal import Terminal
from tests.harness.wait import until

Fresh = Callable[..., Engine]
FLOOD = os.urandom(1 << 20) * 8


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(signed: Authority) -> Path:
    """The daemon's own."""
    return signed.server()


def tls_flags(signed: Authority, files: Path) -> list[str]:
    return ["--tlsverify", f"--tlscacert={signed.ca}", f"--tlscert={files}/cert.pem", f"--tlskey={files}/key.pem"]


def remote(engine: Engine, host: str, certs: Path | None = None) -> Docker:
    """The client in the engine's network namespace, over `host`."""
    secure = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certs)} if certs else {}
    return Docker(host, secure, before=tuple(engine.network.command()))


@pytest.fixture(scope="module")
def encrypted(signed: Authority, files: Path) -> Iterator[Engine]:
    with Engine("-H", "tcp://127.0.0.1:2376", *tls_flags(signed, files)) as engine:
        yield engine


@pytest.fixture(scope="module")
def certs(signed: Authority) -> Path:
    return signed.client()


@pytest.fixture
def docker(encrypted: Engine, certs: Path) -> Iterator[Docker]:
    client = remote(encrypted, "tcp://127.0.0.1:2376", certs)
    yield client
    for container in client.ok("ps", "-aq").split():
        client.ok("rm", "-f", container)
    client.close()


def test_run_prints_and_tells_its_code(docker: Docker) -> None:
    result = docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")


def test_stdin_ends_and_the_answer_still_comes(docker: Docker) -> None:
    words = ("busybox", "sh", "-c", "wc -c; sleep 0.2; echo end")
    assert docker.ok("run", "-i", "--rm", *words, stdin=b"x" * 99).split() == ["99", "end"]
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    assert docker.ok("exec", "-i", "box", "sh", "-c", "cat; echo end", stdin=b"in\n").split() == ["in", "end"]


def test_attach_ends_its_input(docker: Docker) -> None:
    docker.ok("create", "-i", "--name", "cat", "busybox", "sh", "-c", "cat; echo end")
    assert docker.ok("start", "-ai", "cat", stdin=b"abc\n").split() == ["abc", "end"]
    docker.ok("run", "-d", "-i", "--name", "loop", "busybox", "sh", "-c", "while read l; do echo got $l; done")
    child = docker.start("attach", "loop")
    try:
        assert child.stdin and child.stdout
        child.stdin.write(b"hello\n")
        assert child.stdout.readline() == b"got hello\n"
        docker.ok("kill", "loop")
        assert child.wait(15) == 137
    finally:
        end(child)


def test_a_flood_arrives_whole(docker: Docker) -> None:
    result = docker("run", "-i", "--rm", "busybox", "cat", stdin=FLOOD)
    assert result.code == 0
    assert result.stdout == FLOOD


def test_an_upload_arrives_whole(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "flood").write_bytes(FLOOD)
    docker.ok("create", "--name", "box", "busybox")
    docker.ok("cp", str(tmp_path / "flood"), "box:/flood")
    docker.ok("cp", "box:/flood", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == FLOOD


def test_a_terminal_detaches(docker: Docker) -> None:
    words = [*docker.before, "docker", "run", "-it", "--name", "term", "busybox"]
    with Terminal(words, docker.env(), rows=31, columns=91) as terminal:
        terminal.expect("#")
        terminal.send("stty size\r")
        terminal.expect("31 91")
        terminal.send("\x10\x11")
        assert terminal.wait() == 0
    assert docker.inspect("term", "{{.State.Running}}") == "true"


def test_events_and_logs_follow(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "ticks", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert docker.ok("logs", "-f", "ticks").split() == ["1", "2", "3"]
    wanted = ("--filter", "container=ticks", "--format", "{{.Action}}")
    assert "die" in docker.ok("events", "--since=1h", "--until=-1s", *wanted).split()


def test_strangers_are_refused(encrypted: Engine, certs: Path, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    stranger = other.client()
    shutil.copy(certs / "ca.pem", stranger / "ca.pem")
    for client in (remote(encrypted, "tcp://127.0.0.1:2376", stranger), remote(encrypted, "https://127.0.0.1:2376")):
        assert client("ps").code != 0
        client.close()
    plain = remote(encrypted, "tcp://127.0.0.1:2376")
    assert "Client sent an HTTP request to an HTTPS server" in plain.fails("ps")
    plain.close()


def test_old_tls_is_refused(encrypted: Engine, certs: Path) -> None:
    context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    context.load_cert_chain(certs / "cert.pem", certs / "key.pem")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with encrypted.network.connect("127.0.0.1", 2376) as sock, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(sock, server_hostname="127.0.0.1")


def test_tls_leaves_no_warning(docker: Docker) -> None:
    assert "API is accessible" not in docker("info").err


@pytest.fixture(scope="module")
def open_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("bare") / "s"
    bare = [] if REFERENCE else ["-H", str(path)]
    ports = ("-H", "tcp://127.0.0.1:2375", "-H", "tcp://[::1]:2375", "--tls=false")
    with Engine(*ports, "--group", "65534", *bare) as engine:
        engine.bare = path  # type: ignore[attr-defined]
        yield engine


def test_a_plain_port_works_and_is_warned_of(open_port: Engine) -> None:
    for host in ("tcp://127.0.0.1:2375", "tcp://[::1]:2375"):
        client = remote(open_port, host)
        assert client.ok("run", "-i", "--rm", "busybox", "cat", stdin=b"abc") == "abc"
        assert "API is accessible on http://127.0.0.1:2375 without encryption" in client("info").err
        client.close()
    assert "without --tlsverify is insecure" in open_port.log.read_text()


def test_the_group_owns_the_socket(open_port: Engine) -> None:
    assert open_port.socket.stat().st_gid == 65534


@pytest.mark.ours
def test_a_bare_path_is_a_socket(open_port: Engine) -> None:
    path: Path = open_port.bare  # type: ignore[attr-defined]
    assert API(str(path))("GET", "/_ping").body == b"OK"
    assert path.stat().st_gid == 65534


def ask(engine: Engine, path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    with engine.network.connect("127.0.0.1", 2375) as sock:
        sock.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.ours
@pytest.mark.parametrize("path", ["/_ping", "/containers/json", "/v1.44/info"])
def test_web_pages_are_refused(open_port: Engine, path: str) -> None:
    assert ask(open_port, path, Host="127.0.0.1:2375").startswith(b"HTTP/1.1 200")
    assert ask(open_port, path, Host="127.0.0.1:2375", Origin="http://127.0.0.1:2375").startswith(b"HTTP/1.1 200")
    for headers in (
        {"Host": "127.0.0.1:2375", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:2375", "Sec_Fetch_Site": "cross-site"},
        {"Host": "evil.example:2375"},
    ):
        reply = ask(open_port, path, **headers)
        assert reply.startswith(b"HTTP/1.1 403"), reply
        assert b'{"message": "' in reply
    # What a unix socket is sent comes from no browser, and what it has let through opens nothing elsewhere.
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n".encode()
    for _ in range(2):
        with open_port.api.raw(request) as stream:
            assert stream.status == 200
    with open_port.network.connect("127.0.0.1", 2375) as sock:
        sock.sendall(request)
        assert sock.recv(65536).startswith(b"HTTP/1.1 403")


def test_the_file_says_where_and_how(fresh: Fresh, signed: Authority, tmp_path: Path) -> None:
    files = signed.issue("listener", "serverAuth", "IP:127.0.0.1")
    engine = fresh(start=False)
    document = {
        "hosts": [f"unix://{engine.socket}", "tcp://127.0.0.1:2376"], "tlsverify": False,
        "tlscert": f"{files}/cert.pem", "tlskey": f"{files}/key.pem",
    }
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(document))
    whole = engine.command
    code, said = engine.fails_to_start("--config-file", str(file))
    assert code == 1 and "specified both as a flag and in the configuration file: hosts" in said

    def without_host(*flags: str) -> list[str]:
        words = whole(*flags)
        place = words.index("-H")
        return [*words[:place], *words[place + 2 :]]

    engine.command = without_host  # type: ignore[method-assign]
    engine.start("--config-file", str(file))
    client = remote(engine, "tcp://127.0.0.1:2376")
    trusting = ("--tlsverify", "--tlscacert", str(signed.ca))  # and showing nothing
    assert client.ok(*trusting, "version", "-f", "{{.Server.Os}}") == "linux"
    warned = client(*trusting, "info").err
    assert "API is accessible on https://127.0.0.1:2376 without TLS client verification" in warned
    client.close()
    assert engine.docker.ok("version", "-f", "{{.Server.Os}}") == "linux"


@pytest.mark.parametrize("by", told.BY)
def test_clients_show_who_they_are_where_that_is_asked(
    fresh: Fresh, signed: Authority, files: Path, certs: Path, by: str
) -> None:
    """`tls` asks for it as well, unless `tlsverify` is told to be false."""
    ca = str(signed.ca)
    rows: list[told.Row] = [
        ((f"--tlscert={files}/cert.pem",), "tlscert", f"{files}/cert.pem"),
        ((f"--tlskey={files}/key.pem",), "tlskey", f"{files}/key.pem"),
        ((f"--tlscacert={ca}",), "tlscacert", ca),
    ]
    engine = fresh("-H", "tcp://127.0.0.1:2376", start=False)
    for name in ("tls", "tlsverify"):
        engine.start(*told.words(by, [*rows, ((f"--{name}",), name, True)], engine.root / "daemon.json"))
        nobody, known = remote(engine, "tcp://127.0.0.1:2376"), remote(engine, "tcp://127.0.0.1:2376", certs)
        assert known.ok("version", "-f", "{{.Server.Os}}") == "linux"
        assert "remote error: tls: " in nobody.fails("--tlsverify", "--tlscacert", ca, "version")
        assert "Client sent an HTTP request to an HTTPS server" in nobody.fails("version")
        nobody.close()
        known.close()
        engine.stop()


def test_bad_addresses_and_files_are_refused(fresh: Fresh) -> None:
    engine = fresh(start=False)
    code, said = engine.fails_to_start("-H", "ftp://x")
    assert code != 0 and 'invalid argument "ftp://x" for "-H, --host" flag' in said
    code, said = engine.fails_to_start("-H", "fd://")
    assert code == 1 and "no sockets found via socket activation" in said
    code, said = engine.fails_to_start("--tlsverify", "--tlscert", "/none.pem", "-H", "tcp://127.0.0.1:2376")
    assert code == 1 and "ould not load X509 key pair" in said and "/none.pem: no such file or directory" in said


def dialled(path: Path) -> socket.socket | None:
    try:
        return dial(str(path))
    except OSError:
        return None


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
@pytest.mark.parametrize("address", ["fd://", "fd://one.socket"])
def test_sockets_come_from_systemd(fresh: Fresh, address: str) -> None:
    engine = fresh(start=False)
    if engine.reference and address != "fd://":
        pytest.skip("Docker knows numbers alone")
    one, two = engine.root / "one.sock", engine.root / "two.sock"
    words = engine.command("-H", address)
    program = words.index("--") + 1
    activate = ["systemd-socket-activate", "-l", str(one), "-l", str(two), "--fdname=one.socket:two.socket"]
    environment = [f"--setenv={name}" for name in ("PATH", "NOTIFY_SOCKET")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, engine.log.open("ab") as log:
        notify.bind(str(engine.root / "notify"))
        engine.process = subprocess.Popen(
            [*words[:program], *activate, *environment, *words[program:]], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env={**os.environ, "NOTIFY_SOCKET": str(engine.root / "notify")}, start_new_session=True,
        )
        with until(lambda: dialled(one), "systemd listens"):  # which wakes it
            engine.await_ready(notify, START)
    engine.docker.ok("info")
    assert API(str(one))("GET", "/_ping").body == b"OK"
    if address == "fd://":
        assert API(str(two))("GET", "/_ping").body == b"OK"
    engine.load()
    assert "LISTEN_" not in engine.docker.ok("run", "--rm", "busybox", "env")
    assert engine.docker.ok("run", "--rm", "busybox", "ls", "/proc/self/fd").split()[:3] == ["0", "1", "2"]
    engine.stop()
    assert one.exists(), "the file is systemd's"

"""docker-proxy as a process: the original's command line and descriptors, and the zygote."""

import array
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.wait import until

PROXY = [sys.executable, "-m", "services.proxy"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def run(*flags: str, listener: int = -1) -> tuple[int, str]:
    """Pid of a proxy, and what it said on descriptor 3."""
    reader, writer = os.pipe()
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in (writer, listener) if each >= 0]
    os.close(writer)
    actions = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(high, 3)]
    pid = os.posix_spawn(PROXY[0], [*PROXY, *flags], os.environ, file_actions=actions)
    for each in high:
        os.close(each)
    with os.fdopen(reader) as said:
        return pid, said.read()


def end(pid: int) -> int:
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def flags(host_port: int, container_port: int, proto: str = "tcp") -> list[str]:
    return [
        "-proto", proto, "-host-ip", "127.0.0.1", "-host-port", str(host_port),
        "-container-ip", "127.0.0.1", "-container-port", str(container_port),
    ]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def exchange(port: int, server: socket.socket) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello")
        inside, _ = server.accept()
        with inside:
            assert inside.recv(99) == b"hello"


def test_the_originals_command_line(server: socket.socket) -> None:
    port = free_port()
    pid, said = run(*flags(port, server.getsockname()[1]))
    try:
        assert said == "0\n"
        exchange(port, server)
        assert Path(f"/proc/{pid}/comm").read_text() == "docker-proxy\n"
    finally:
        assert end(pid) == 0


def test_a_listener_that_was_passed(server: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pid, said = run(*flags(port, server.getsockname()[1]), "-use-listen-fd", listener=listener.fileno())
    try:
        assert said == "0\n"
        exchange(port, server)
    finally:
        end(pid)


def test_a_port_in_use_is_told(server: socket.socket) -> None:
    pid, said = run(*flags(server.getsockname()[1], 9))
    assert said.startswith("1\n") and "address already in use" in said
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@pytest.mark.parametrize(("given", "text"), [
    (["--proto", "icmp", "--host-port=1"], "unsupported proxy protocol icmp"),
])
def test_what_cannot_be_forwarded_is_told(given: list[str], text: str) -> None:
    pid, said = run(*given)
    os.waitpid(pid, 0)
    assert said.startswith("1\n") and text in said


@pytest.mark.parametrize(("given", "text"), [
    (["-nonsense"], "flag provided but not defined: -nonsense"),
    (["-host-port", "many"], 'invalid value "many" for flag -host-port'),
    (["-host-port"], "flag needs an argument: -host-port"),
])
def test_bad_flags_are_refused(given: list[str], text: str) -> None:
    done = subprocess.run([*PROXY, *given], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and text in done.stderr


def test_help_names_the_flags() -> None:
    done = subprocess.run([*PROXY, "-h"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "-use-listen-fd" in done.stderr


class Zygote:
    def __init__(self) -> None:
        self.channel, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(20)
        self.process = subprocess.Popen([*PROXY, "zygote"], stdin=there.fileno())
        there.close()

    def spawn(self, container: str, control: Path, pairs: list[tuple[socket.socket, int]], batch: int = 200) -> int:
        """Pid of a proxy from these listeners to these container ports."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(control))
            sock.listen()
            descriptors = [sock.fileno(), *(listener.fileno() for listener, _ in pairs)]
            lines = ["", *("tcp {} {} 127.0.0.1 {}\n".format(*each.getsockname(), port) for each, port in pairs)]
            for start in range(0, len(descriptors), batch):
                end = start + batch
                head = f"{container}\t{control}\t{'more' if end < len(descriptors) else 'last'}\n"
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors[start:end]))]
                self.channel.sendmsg([(head + "".join(lines[start:end])).encode()], rights)
        return int(self.channel.recv(1 << 16))


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.channel.close()
    assert zygote.process.wait(10) == 0


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def test_proxies_are_children_of_the_zygotes_parent(zygote: Zygote, server: socket.socket, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pid = zygote.spawn("c0ffee", tmp_path / "s", [(listener, server.getsockname()[1])])
    try:
        assert parent(pid) == os.getpid()
        exchange(port, server)
        spelled = f"127.0.0.1:{port}->127.0.0.1:{server.getsockname()[1]}/tcp"
        title = ["docker-proxy", "-container-id", "c0ffee", "-control", str(tmp_path / "s"), spelled]
        until(lambda: words(pid) == title, "its command line says what it does")
        assert Path(f"/proc/{pid}/comm").read_text() == "docker-proxy\n"
        assert os.getsid(pid) == pid
    finally:
        end(pid)


def test_proxies_outlive_the_zygote(server: socket.socket, tmp_path: Path) -> None:
    zygote = Zygote()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pid = zygote.spawn("c0ffee", tmp_path / "s", [(listener, server.getsockname()[1])])
    zygote.channel.close()
    assert zygote.process.wait(10) == 0
    try:
        exchange(port, server)
    finally:
        end(pid)


def test_a_zygote_needs_no_loopback() -> None:
    channel, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(["unshare", "--net", *PROXY, "zygote"], stdin=there.fileno(), stderr=subprocess.PIPE)
    there.close()
    until(lambda: "zygote" in words(process.pid), "it has its name")
    channel.close()
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, b"")


def test_many_listeners_come_in_parts(zygote: Zygote, server: socket.socket, tmp_path: Path) -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(10)]
    ports = [listener.getsockname()[1] for listener in listeners]
    pid = zygote.spawn("c0ffee", tmp_path / "s", [(each, server.getsockname()[1]) for each in listeners], batch=3)
    for listener in listeners:
        listener.close()
    try:
        for port in ports:
            exchange(port, server)
    finally:
        end(pid)


def test_nothing_but_sockets_and_shared_memory_is_held(zygote: Zygote, server: socket.socket, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid = zygote.spawn("c0ffee", tmp_path / "s", [(listener, server.getsockname()[1])])
    try:
        def held() -> list[str]:
            links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
            return sorted(link.partition(":")[0] for link in links)

        want = ["/memfd"] * 4 + ["anon_inode", "socket", "socket"]
        until(lambda: [each for each in held() if each != "/dev/null"] == want, "only sockets, an epoll and memory")
        status = Path(f"/proc/{pid}/status").read_text()
        assert "SigBlk:\t0000000000000000" in status and "Threads:\t1\n" in status
    finally:
        end(pid)

"""`--userns-remap`: whose the containers' processes and files are on the host, and what such containers cannot have."""

import io
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import clean
from tests.harness.cli import Docker
from tests.harness.engine import HOST, Engine
from tests.harness.etc import Etc
from tests.harness.wait import until

UID, GID = 300000, 400000
USER = {
    "passwd": "mapped:x:2001:2001::/:/bin/false\n", "group": "mapped:x:2001:\n",
    "subuid": f"mapped:{UID}:65536\n", "subgid": f"mapped:{GID}:65536\n",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Etc(USER) as etc:
        engine = Engine("--userns-remap=mapped:mapped", "--live-restore", within=etc.pid)
        engine.root.chmod(0o711)  # a container's root has to come through
        with engine:
            yield engine
            engine.stop()


@pytest.fixture
def docker(engine: Engine) -> Iterator[Docker]:
    yield engine.docker
    clean(engine.api)


def data(engine: Engine) -> Path:
    return engine.data / f"{UID}.{GID}"


def owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


def test_info_tells_it(docker: Docker, engine: Engine) -> None:
    assert "name=userns" in docker.ok("info", "-f", "{{.SecurityOptions}}")
    assert docker.ok("info", "-f", "{{.DockerRootDir}}") == str(data(engine))
    status = data(engine).stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, GID, 0o710)


def test_root_within_is_somebody_without(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    assert docker.ok("exec", "box", "id", "-u") == "0"
    maps = docker.ok("exec", "box", "cat", "/proc/self/uid_map", "/proc/self/gid_map").split()
    assert maps == ["0", str(UID), "65536", "0", str(GID), "65536"]
    pid = docker.ok("inspect", "-f", "{{.State.Pid}}", "box")
    assert owner(Path(f"/proc/{pid}")) == (UID, GID)
    assert docker.ok("exec", "-u", "7:8", "box", "id", "-u") == "7"
    assert docker.ok("exec", "box", "sh", "-c", "echo said >/dev/stdout") == "said"


def test_the_image_belongs_to_root_within(docker: Docker) -> None:
    places = ("/", "/bin/busybox", "/etc/hosts", "/.dockerenv")
    assert set(docker.ok("run", "--rm", "busybox", "stat", "-c", "%u:%g", *places).split()) == {"0:0"}
    docker.ok("run", "--rm", "busybox", "sh", "-c", "echo x >/new && echo 1.2.3.4 me >>/etc/hosts && rm /bin/ls")


def test_volumes_belong_to_root_within(docker: Docker, engine: Engine) -> None:
    docker.ok("run", "--rm", "-v", "kept:/bin", "-v", "fresh:/fresh", "busybox", "touch", "/fresh/file")
    volumes = data(engine) / "volumes"
    for name in ("fresh/_data", "fresh/_data/file", "kept/_data", "kept/_data/busybox"):
        assert owner(volumes / name) == (UID, GID), name
    bind = engine.root / "made" / "below"
    docker.ok("run", "--rm", "-v", f"{bind}:/bind", "busybox", "touch", "/bind/file")
    assert {owner(each) for each in (bind, bind.parent, bind / "file")} == {(UID, GID)}


def test_what_is_copied_in_belongs_to_ids_within(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(member := tarfile.TarInfo("deep/er/given"), io.BytesIO())
        member.uid, member.gid = 5, 6
        tar.addfile(member)
    docker.ok("cp", "-", "box:/tmp", stdin=archive.getvalue())
    assert docker.ok("exec", "box", "stat", "-c", "%u:%g", "/tmp/deep/er/given") == "5:6"
    assert docker.ok("exec", "box", "stat", "-c", "%u:%g", "/tmp/deep") == "0:0"


@pytest.mark.ours  # the other's `docker cp` tells the host's
def test_what_is_copied_out_tells_ids_within(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "touch /own; chown 7:8 /own; sleep 600")
    until(lambda: docker("exec", "box", "test", "-O", "/own").code == 1, "it belongs to another")
    for state in ("running", "exited"):
        assert docker.ok("inspect", "-f", "{{.State.Status}}", "box") == state
        with tarfile.open(fileobj=io.BytesIO(docker("cp", "box:/own", "-").stdout)) as tar:
            assert [(each.uid, each.gid) for each in tar.getmembers()] == [(7, 8)]
        with tarfile.open(fileobj=io.BytesIO(docker("export", "box").stdout)) as tar:
            assert {each.name: (each.uid, each.gid) for each in tar.getmembers()}["own"] == (7, 8)
        docker.ok("stop", "-t", "0", "box")


def test_a_commit_holds_ids_from_within(docker: Docker) -> None:
    docker.ok("run", "--name", "box", "busybox", "sh", "-c", "touch /own; chown 7:8 /own")
    docker.ok("commit", "box", "committed")
    try:
        shown = docker.ok("run", "--rm", "committed", "stat", "-c", "%u:%g", "/own", "/bin/busybox")
        assert shown.split() == ["7:8", "0:0"]
    finally:
        docker.ok("rmi", "-f", "committed")


def test_shared_memory_may_be_shared(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "box", "--ipc", "shareable", "busybox", "sleep", "600")
    docker.ok("run", "--rm", "--ipc", "container:box", "busybox", "touch", "/dev/shm/file")
    assert docker.ok("exec", "box", "stat", "-c", "%u:%g", "/dev/shm", "/dev/shm/file").split() == ["0:0", "0:0"]


SERVE = ("busybox", "sh", "-c", "echo hello >/index.html; httpd -f")


def test_a_network_and_its_ports_work(docker: Docker, engine: Engine) -> None:
    docker.ok("run", "-d", "--name", "web", "-p", "8080:80", *SERVE)
    assert fetched(engine) == "hello"
    fetch = ("busybox", "wget", "-qO-", "http://127.0.0.1")
    assert docker.ok("run", "--rm", "--network", "container:web", *fetch) == "hello"


def test_the_network_is_its_own_to_change(docker: Docker) -> None:
    change = ("sh", "-c", "ip link set lo mtu 9000; cat /sys/class/net/lo/mtu")
    assert docker.ok("run", "--rm", "--cap-add", "NET_ADMIN", "busybox", *change) == "9000"


def fetched(engine: Engine) -> str:
    """What a neighbour of the host gets from the published port, as soon as the server has begun."""
    with until(lambda: connected(engine), "the server listens") as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as reply:
            return reply.read().rpartition(b"\r\n")[2].decode().strip()


def connected(engine: Engine) -> socket.socket | None:
    try:
        return engine.neighbour.connect(HOST, 8080)
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--privileged", "privileged mode is incompatible with user namespaces.  You must run the container in the "
         "host namespace when running privileged mode"),
        ("--network=host", "cannot share the host's network namespace when user namespaces are enabled"),
        ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_reaches_the_host_is_refused(docker: Docker, flag: str, text: str) -> None:
    assert text in docker.fails("run", "--rm", flag, "busybox", "true")


def test_the_hosts_users_can_be_asked_for(docker: Docker) -> None:
    flags = ("--userns=host", "--network=host", "--pid=host")
    assert docker.ok("run", "--rm", *flags, "busybox", "cat", "/proc/self/uid_map").split()[:2] == ["0", "0"]


@pytest.mark.ours  # the other fails in this test's surroundings
def test_a_privileged_container_can_have_them(docker: Docker) -> None:
    docker.ok("run", "--rm", "--userns=host", "--privileged", "busybox", "mount", "-t", "tmpfs", "none", "/tmp")


@pytest.mark.ours
def test_a_killed_daemon_finds_its_containers(docker: Docker, engine: Engine) -> None:
    docker.ok("run", "-d", "--name", "web", "-p", "8080:80", *SERVE)
    before = docker.ok("inspect", "-f", "{{.State.Pid}}", "web")
    engine.kill()
    engine.start()
    assert docker.ok("inspect", "-f", "{{.State.Pid}}", "web") == before
    assert fetched(engine) == "hello"
    assert docker.ok("exec", "web", "id", "-u") == "0"
    docker.ok("restart", "-t", "0", "web")
    assert fetched(engine) == "hello"


def test_the_default_user_is_made() -> None:
    with Etc({"subuid": "other:100000:65536\n"}) as etc:
        for name in ("passwd", "group", "subuid", "subgid"):
            lines = etc.path(name).read_text().splitlines(keepends=True)
            etc.path(name).write_text("".join(line for line in lines if not line.startswith("dockremap:")))
        engine = Engine(within=etc.pid)
        file = engine.root / "daemon.json"
        file.write_text('{"userns-remap": "default"}')
        engine.flags = ["--config-file", str(file)]
        try:
            engine.root.chmod(0o711)
            engine.start()
            made = dict(line.split(":", 1) for line in etc.path("subuid").read_text().splitlines())["dockremap"]
            first, count = map(int, made.split(":"))
            assert first >= 165536 and count == 65536
            assert any(path.name.startswith(f"{first}.") for path in engine.data.iterdir())
            engine.stop()
        finally:
            engine.close()

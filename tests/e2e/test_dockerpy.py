"""docker-py: the other client that everything is scripted with."""

import gc
import io
import tarfile
from collections.abc import Iterator

import docker as docker_py
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

from tests.conftest import clean
from tests.harness.engine import Engine
from tests.harness.wait import until

# It leaves sockets of its streams to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What it left is collected here, and not in another test, which would fail for it."""
    yield
    gc.collect()


@pytest.fixture
def client(engine: Engine) -> Iterator[docker_py.DockerClient]:
    client = docker_py.DockerClient(base_url=f"unix://{engine.socket}", version="auto", timeout=30)
    yield client
    client.close()
    clean(engine.api)


def test_it_finds_the_version(client: docker_py.DockerClient) -> None:
    assert client.ping() is True
    assert client.version()["ApiVersion"] and client.info()["OSType"] == "linux"


def test_run_returns_the_output(client: docker_py.DockerClient) -> None:
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    assert client.containers.run("busybox", "sh -c 'echo err >&2'", stderr=True, stdout=False, remove=True) == b"err\n"


def test_run_streams(client: docker_py.DockerClient) -> None:
    assert b"".join(client.containers.run("busybox", ["seq", "3"], stream=True)) == b"1\n2\n3\n"


def test_run_raises_what_failed(client: docker_py.DockerClient) -> None:
    with pytest.raises(ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 4"], remove=True)
    assert failed.value.exit_status == 4 and failed.value.stderr == b"why\n"


def test_errors_have_their_classes(client: docker_py.DockerClient) -> None:
    with pytest.raises(NotFound):
        client.containers.get("nothing")
    with pytest.raises(ImageNotFound):
        client.images.get("nothing")
    with pytest.raises(APIError) as refused:
        client.containers.create("busybox", name="a/b")
    assert refused.value.response.status_code == 400


def test_a_containers_life(client: docker_py.DockerClient) -> None:
    box = client.containers.run("busybox", ["sleep", "600"], detach=True, name="life", labels={"a": "b"}, init=True)
    box.reload()
    assert (box.status, box.name, box.labels) == ("running", "life", {"a": "b"})
    assert [one.id for one in client.containers.list(filters={"label": "a=b"})] == [box.id]
    box.pause()
    box.unpause()
    box.rename("other")
    box.restart(timeout=2)
    assert "sleep 600" in str(box.top()["Processes"])
    box.stop(timeout=5)
    assert box.wait()["StatusCode"] == 143
    box.remove(v=True)
    with pytest.raises(NotFound):
        box.reload()


def test_logs_in_all_ways(client: docker_py.DockerClient) -> None:
    box = client.containers.run("busybox", ["sh", "-c", "echo one; echo two >&2; read x; echo three"], detach=True,
                                stdin_open=True)
    until(lambda: box.logs().count(b"\n") == 2, "it has spoken on both streams")
    with box.attach_socket(params={"stdin": 1, "stream": 1})._sock as stdin:
        stdin.sendall(b"go on\n")
    assert b"".join(box.logs(stream=True, follow=True)).count(b"\n") == 3
    assert box.logs(stderr=False) == b"one\nthree\n"
    assert box.logs(tail=1) == b"three\n"
    assert box.logs(timestamps=True).count(b"Z ") == 3


def test_exec(client: docker_py.DockerClient) -> None:
    box = client.containers.run("busybox", ["sleep", "60"], detach=True)
    assert box.exec_run(["sh", "-c", "echo out; exit 3"]) == (3, b"out\n")
    assert box.exec_run("sh -c 'echo out; echo err >&2'", demux=True).output == (b"out\n", b"err\n")
    assert box.exec_run("id -un", user="nobody").output == b"nobody\n"
    assert b"".join(box.exec_run("seq 3", stream=True).output) == b"1\n2\n3\n"


def test_exec_over_a_socket(client: docker_py.DockerClient) -> None:
    box = client.containers.run("busybox", ["sleep", "60"], detach=True)
    _, stream = box.exec_run("cat", stdin=True, socket=True, tty=True)
    with stream._sock as sock:
        sock.sendall(b"typed\n")
        seen = b""
        while seen.count(b"typed") < 2:
            seen += sock.recv(4096)
    stream.close()


def test_attach(client: docker_py.DockerClient) -> None:
    box = client.containers.create("busybox", ["sh", "-c", "read x; echo got $x"], stdin_open=True)
    stream = box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    box.start()
    with stream._sock as sock:
        sock.sendall(b"word\n")
        seen = b""
        while data := sock.recv(4096):
            seen += data
    stream.close()
    assert b"got word\n" in seen


def test_archives(client: docker_py.DockerClient) -> None:
    box = client.containers.create("busybox", ["true"])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"data"))
    assert box.put_archive("/tmp", out.getvalue()) is True
    chunks, facts = box.get_archive("/tmp/file")
    assert facts["size"] == 4
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile("file")
        assert member and member.read() == b"data"


def test_stats_and_events(client: docker_py.DockerClient) -> None:
    events = client.events(decode=True, filters={"type": "container", "event": "start"})
    box = client.containers.run("busybox", ["sleep", "60"], detach=True)
    assert next(events)["Actor"]["ID"] == box.id
    events.close()
    assert box.stats(stream=False)["memory_stats"]["usage"] > 0


def test_volumes_and_networks(client: docker_py.DockerClient) -> None:
    volume = client.volumes.create("data", labels={"a": "b"})
    mounted = {"data": {"bind": "/data", "mode": "rw"}}
    client.containers.run("busybox", ["touch", "/data/file"], volumes=mounted, remove=True)
    assert client.containers.run("busybox", ["ls", "/data"], volumes=mounted, remove=True) == b"file\n"
    assert [one.name for one in client.volumes.list(filters={"label": "a"})] == ["data"]
    volume.remove()
    assert {"bridge", "host", "none"} <= {network.name for network in client.networks.list()}
    assert client.networks.get("bridge").attrs["Driver"] == "bridge"


def test_ports(client: docker_py.DockerClient) -> None:
    box = client.containers.run(
        "busybox", ["sleep", "60"], detach=True, ports={"80/tcp": None, "81/udp": ("127.0.0.1", 19181)}
    )
    box.reload()
    assert box.ports["81/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "19181"}]
    assert int(box.ports["80/tcp"][0]["HostPort"]) > 1024


def test_images(client: docker_py.DockerClient) -> None:
    image = client.images.get("busybox")
    assert image.tags == ["busybox:latest"] and image.history()
    assert image.tag("copy", tag="1") is True
    assert "copy:1" in client.images.get("busybox").tags
    client.images.remove("copy:1")
    (again,) = client.images.load(b"".join(image.save(named="busybox:latest")))
    assert again.id == image.id


def test_auto_remove(client: docker_py.DockerClient) -> None:
    box = client.containers.run("busybox", ["true"], detach=True, auto_remove=True)
    # Sparse: docker-py otherwise inspects each that was listed, which may be gone by then.
    until(lambda: not client.containers.list(all=True, filters={"id": box.id}, sparse=True), "it is gone")

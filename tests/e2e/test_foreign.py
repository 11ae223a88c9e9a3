"""dockerd on Debian's containerd 1.6 with its own shim: the second seam, the other way round."""

import hashlib
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.sinks import Receiver, fluentd, receiving, unix_listener
from tests.harness.wait import until

pytestmark = pytest.mark.ours


@pytest.fixture(scope="module")
def foreign() -> Iterator[Engine]:
    engine = Engine(reference=False)
    address, config = engine.root / "c.sock", engine.root / "c.toml"
    config.write_text(
        f'version = 2\nroot = "{engine.root}/cr"\nstate = "{engine.root}/cs"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{address}"\n'
    )
    with (engine.root / "c.log").open("wb") as log:
        command = engine.network.command("/usr/bin/containerd", "-c", str(config))
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until(address.exists, "containerd listens")
        engine.start("--containerd", str(address))
        engine.load()
        yield engine
        engine.stop()
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)
        engine.close()


@pytest.fixture
def sleeper(foreign: Engine) -> Iterator[tuple[Docker, str]]:
    name = foreign.docker.ok("run", "-d", "busybox", "sleep", "300")
    yield foreign.docker, name
    foreign.docker.ok("rm", "-f", name)


def test_output_and_exit_code_arrive(foreign: Engine) -> None:
    done = foreign.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.out, done.err, done.code) == ("out\n", "err\n", 3)


def test_input_arrives_whole_and_ends(foreign: Engine) -> None:
    sent = bytes(range(256)) * 20000
    assert foreign.docker.ok("run", "-i", "--rm", "busybox", "wc", "-c", stdin=sent) == str(len(sent))


def test_exec_has_input_output_and_an_exit_code(sleeper: tuple[Docker, str]) -> None:
    docker, name = sleeper
    done = docker("exec", "-i", name, "sh", "-c", "cat; exit 7", stdin=b"through\n")
    assert (done.out, done.code) == ("through\n", 7)


def test_a_terminal_is_one(foreign: Engine, sleeper: tuple[Docker, str]) -> None:
    docker, name = sleeper
    assert foreign.docker.ok("run", "-t", "--rm", "busybox", "tty").startswith("/dev/pts/")
    assert docker.ok("exec", "-t", name, "tty").startswith("/dev/pts/")


def test_it_is_paused_stopped_and_started_again(sleeper: tuple[Docker, str]) -> None:
    docker, name = sleeper
    docker.ok("pause", name)
    assert docker.inspect(name, "{{.State.Status}}") == "paused"
    docker.ok("unpause", name)
    docker.ok("stop", "-t", "1", name)
    assert docker.inspect(name, "{{.State.ExitCode}}") == "137"
    docker.ok("start", name)
    assert docker.ok("exec", name, "echo", "again") == "again"


def test_a_killed_dockerd_adopts_what_runs(foreign: Engine, sleeper: tuple[Docker, str]) -> None:
    docker, name = sleeper
    foreign.kill()
    foreign.start("--containerd", str(foreign.root / "c.sock"))
    assert docker.inspect(name, "{{.State.Running}}") == "true"
    assert docker.ok("exec", name, "echo", "still") == "still"


def test_images_come_in_and_out(foreign: Engine) -> None:
    """In messages, and each layer upon its parent: this containerd knows of neither files nor layers side by side."""
    docker, saved = foreign.docker, foreign.root / "saved.tar"
    large = random.Random(1).randbytes(9 << 20)
    layers = [images.pack({"d/large": large, "d/gone": b"1"}), images.pack({"d/.wh.gone": b"", "d/new": b"2"})]
    docker.ok("load", "-q", stdin=images.docker_archive("foreign:1", {"Cmd": ["sh"]}, *layers), timeout=120)
    identity = docker.inspect("foreign:1", "{{.Id}}")
    said = docker.ok("run", "--rm", "foreign:1", "sh", "-c", "ls /d; md5sum < /d/large")
    assert said.split() == ["large", "new", hashlib.md5(large).hexdigest(), "-"]
    docker.ok("save", "-o", str(saved), "foreign:1", timeout=120)
    docker.ok("rmi", "foreign:1")
    docker.ok("load", "-q", "-i", str(saved), timeout=120)
    assert docker.inspect("foreign:1", "{{.Id}}") == identity
    docker.ok("rmi", "foreign:1")


def test_logs_are_kept(foreign: Engine) -> None:
    name = foreign.docker.ok("run", "-d", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; done")
    foreign.docker.ok("wait", name)
    assert foreign.docker.ok("logs", name).split() == ["1", "2", "3"]
    foreign.docker.ok("rm", name)


def test_logs_are_sent_away(foreign: Engine, name: str, tmp_path: Path) -> None:
    with receiving(Receiver(unix_listener(tmp_path / "socket"), fluentd)) as receiver:
        options = ("--log-driver", "fluentd", "--log-opt", f"fluentd-address=unix://{tmp_path}/socket")
        foreign.docker("run", "--name", name, *options, "busybox", "sh", "-c", "echo out; echo err >&2")
        until(lambda: len(receiver.seen) == 2, "both messages arrive")
    seen = foreign.docker("logs", name)
    assert (seen.out, seen.err) == ("out\n", "err\n")
    said = foreign.docker.fails("run", "--name", f"{name}-2", *options, "busybox", "true", code=125)
    assert "failed to create task for container: failed to initialize logging driver: dial unix " in said
    foreign.docker("rm", name, f"{name}-2")

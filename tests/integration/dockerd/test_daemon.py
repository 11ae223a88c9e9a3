"""The daemon with its docker-containerd: start, refusals, supervision, the live tree, the end."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.dockerd.notify import READY_FD
from tests.harness import leftovers
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours
PORT = 2377


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """With a socket, a bare path and a TCP port; no test stops it."""
    engine = Engine(reference=False)
    engine.flags += ["-H", str(engine.root / "bare.sock"), "-H", f"tcp://127.0.0.1:{PORT}"]
    with engine:
        yield engine


def nodes(engine: Engine) -> list[dict[str, Any]]:
    """All processes of the tree, parents first."""
    found, todo = [], list(engine.api.get("/debug/tree"))
    while todo:
        node = todo.pop(0)
        found.append(node)
        todo += node["children"]
    return found


def test_listens_on_every_address(engine: Engine) -> None:
    def version() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/version", timeout=20) as answer:
            return json.load(answer)

    assert engine.network.call(version)["ApiVersion"] == "1.51"
    bare = ("-H", f"unix://{engine.root}/bare.sock")
    assert engine.docker.ok(*bare, "version", "--format", "{{.Server.APIVersion}}") == "1.51"
    warnings = engine.api.get("/info")["Warnings"]
    assert any(f"API is accessible on http://127.0.0.1:{PORT} without encryption" in line for line in warnings)


def test_same_data_root_is_refused(engine: Engine) -> None:
    other = ["--exec-root", str(engine.root / "x"), "--pidfile", str(engine.root / "p2"), "-H", str(engine.root / "s2")]
    code, out = engine.fails_to_start(*other)
    assert code == 1 and f"data root {engine.data} is in use by dockerd with PID {engine.pid}" in out
    assert not (engine.root / "p2").exists() and not (engine.root / "s2").exists()
    assert engine.api("GET", "/_ping").status == 200


def test_same_pid_file_is_refused(engine: Engine) -> None:
    roots = ("--data-root", str(engine.root / "data2"), "--exec-root", str(engine.root / "exec2"))
    code, out = engine.fails_to_start(*roots)
    assert code == 1 and f"process with PID {engine.pid} is still running" in out
    assert engine.pidfile.read_text() == str(engine.pid)


def test_names_of_processes_are_readable(engine: Engine) -> None:
    assert Path(f"/proc/{engine.pid}/comm").read_text() == "dockerd\n"
    words = Path(f"/proc/{engine.pid}/cmdline").read_bytes().split(b"\0")
    assert words[:3] == [b"dockerd", b"--data-root", bytes(engine.data)]


def test_tree_shows_what_runs(engine: Engine) -> None:
    engine.docker.ok("run", "-d", "--name", "tree", "-p", "127.0.0.1:8099:80", "busybox", "sleep", "600")

    def settled() -> dict[str, dict[str, Any]] | None:
        """By role, once the runtime's init has become the program, and no zygote is busy."""
        found = {node["role"]: node for node in nodes(engine) if node["role"] != "zygote"}
        whole = list(found) == ["daemon", "containerd", "proxy", "shim", "container"]
        return found if whole and found["container"]["name"] == "sleep" else None

    by_role = until(settled, "every role has its process")
    container = by_role["container"]
    assert container["container"] == "tree"
    assert container["namespaces"] == ["ipc", "mnt", "net", "pid", "uts"]
    assert by_role["shim"]["pid"] == container["ppid"] and by_role["shim"]["container"] == "tree"
    assert by_role["proxy"]["ppid"] == by_role["containerd"]["ppid"] == engine.pid
    assert all(node["pss"] > 0 and node["threads"] > 0 for node in by_role.values())
    page = engine.api("GET", "/debug/tree.html")
    assert page.headers["content-type"].startswith("text/html") and b'fetch("tree"' in page.body
    engine.docker.ok("rm", "-f", "tree")


def test_killed_containerd_comes_back(engine: Engine) -> None:
    engine.docker.ok("run", "-d", "--name", "lives", "busybox", "sleep", "600")
    before = engine.containerd()
    engine.kill(before)
    until(lambda: f"docker-containerd ended pid={before}" in engine.log.read_text(), "its end is noticed")
    assert engine.docker.ok("exec", "lives", "echo", "still") == "still", "a request waits for the next one"
    assert engine.docker.ok("run", "--rm", "busybox", "echo", "on") == "on"
    assert engine.containerd() != before
    engine.docker.ok("rm", "-f", "lives")


def test_stacks_are_dumped_on_request(engine: Engine) -> None:
    engine.docker.ok("run", "-d", "--name", "asked", "-p", "17301:80", "busybox", "sleep", "600")

    def found() -> dict[int, Path]:
        return {node["pid"]: place for node in nodes(engine) if (place := dump_of(engine, node))}

    until(lambda: sorted(found().values()) == sorted(set(found().values())) and len(found()) == 6, "all six run")
    places = found()
    for pid, place in places.items():
        os.kill(pid, signal.SIGUSR1)
        until(lambda place=place: place.exists() and "most recent call first" in place.read_text(), f"{place} is there")
        assert place.stat().st_mode & 0o777 == 0o600
    until(lambda: "Task supervisor" in (engine.exec / "dockerd.stacks.log").read_text(), "tasks are named")
    assert engine.docker.ok("exec", "asked", "echo", "on") == "on"
    assert all(Path(f"/proc/{pid}").exists() for pid in places)
    engine.docker.ok("rm", "-f", "asked")
    assert [path.name for path in (engine.exec / "proxy").glob("*.stacks.log")] == ["zygote.stacks.log"]


def dump_of(engine: Engine, node: dict[str, Any]) -> Path | None:
    """Where docs/debugging.md says a process dumps its stacks; None for what is no process of ours."""
    state = engine.exec / "containerd"
    command = node["command"]
    if node["role"] == "zygote":
        if command.startswith("docker-proxy"):
            return engine.exec / "proxy/zygote.stacks.log"
        return state / "docker-containerd-shim.zygote.stacks.log"
    return {
        "daemon": engine.exec / "dockerd.stacks.log",
        "containerd": state / "docker-containerd.stacks.log",
        "shim": state / "io.containerd.runtime.v2.task/moby" / node["container_id"] / "stacks.log",
        "proxy": Path(command.partition("-control ")[2].partition(".sock")[0] + ".stacks.log"),
    }.get(node["role"])


def test_ping_does_not_wait_for_a_stream(engine: Engine) -> None:
    with engine.api.stream("GET", "/events"):
        assert engine.api("GET", "/_ping").status == 200


def test_killed_daemon_is_followed_by_one_that_adopts(fresh: Callable[..., Engine]) -> None:
    engine = fresh(reference=False)
    engine.docker.ok("run", "-d", "--name", "lives", "busybox", "sleep", "600")
    containerd = engine.containerd()
    shim = [pid for pid in engine.pids("docker-containerd-shim") if "-id" in leftovers.cmdline(pid)]
    engine.kill()
    engine.start()
    assert engine.containerd() == containerd and set(shim) <= set(engine.pids("docker-containerd-shim"))
    assert engine.docker.ok("exec", "lives", "echo", "still") == "still"
    assert engine.stop() == 0
    assert not engine.remains() and not engine.socket.exists() and not engine.pidfile.exists()


def test_stale_traces_do_not_stop_a_start(fresh: Callable[..., Engine]) -> None:
    engine = fresh(start=False, reference=False)
    engine.pidfile.write_text("1")
    engine.exec.mkdir()
    engine.start()
    assert engine.pidfile.read_text() == str(engine.pid)
    engine.kill()
    engine.kill(engine.containerd())
    engine.start()
    assert engine.api("GET", "/_ping").status == 200


def test_readiness_is_told_through_a_pipe(fresh: Callable[..., Engine]) -> None:
    engine = fresh(start=False, reference=False)
    for flags, word in ((["--log-level", "debug"], b"ready\n"), (["-H", "tcp://192.0.2.1:1"], b"failed: ")):
        reading, writing = os.pipe()
        environment = os.environ | {READY_FD: str(writing)}
        with subprocess.Popen(
            engine.command(*flags), pass_fds=[writing], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as daemon:
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                assert pipe.read().startswith(word)
            if word == b"ready\n":
                daemon.terminate()
            assert daemon.wait(60) == (0 if word == b"ready\n" else 1)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--userns-remap", "nobody-here"], 'error during uid lookup for "nobody-here": no such user'),
        (["--default-runtime", "none"], "specified default runtime 'none' does not exist"),
        (["-H", "foo://x"], "invalid bind address (foo://x): unsupported proto 'foo'"),
        (["--config-file", "/nope.json"], "open /nope.json: no such file or directory"),
    ],
)
def test_impossible_flags_are_one_clear_line(fresh: Callable[..., Engine], flags: list[str], text: str) -> None:
    engine = fresh(start=False, reference=False)
    code, out = engine.fails_to_start(*flags)
    assert code == 1 and text in out and "Traceback" not in out
    assert not engine.remains()


def test_questions_need_no_daemon(fresh: Callable[..., Engine]) -> None:
    engine = fresh(start=False, reference=False)
    told = {"--version": "Docker version 28.", "--help": "Usage:  dockerd", "--validate": "configuration OK"}
    for flag, text in told.items():
        done = subprocess.run(engine.command(flag), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and text in done.stdout
    assert not (engine.root / "exec").exists()

"""What tests of tasks look at: processes, events, leftovers."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.harness.wait import until
from tests.integration.daemon import Daemon

BUSYBOX = "docker.io/library/busybox:latest"


def clear(daemon: Daemon) -> None:
    """End and remove every task and container."""
    if daemon.process is None or daemon.process.poll() is not None:
        daemon.start()
    for row in daemon.rows("tasks", "ls"):
        daemon.ctr("tasks", "resume", row[0])
        daemon.ctr("tasks", "kill", "-s", "9", row[0])
        until(lambda it=row[0]: daemon.ctr("tasks", "rm", it).returncode == 0 or not status(daemon, it), "it goes")
    for row in daemon.rows("containers", "ls"):
        daemon.ctr("containers", "rm", row[0])


def status(daemon: Daemon, name: str) -> str:
    """Of a task; empty where there is none."""
    return next((row[2] for row in daemon.rows("tasks", "ls") if row[0] == name), "")


def pid_of(daemon: Daemon, name: str) -> int:
    return next(int(row[1]) for row in daemon.rows("tasks", "ls") if row[0] == name)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def shims(daemon: Daemon) -> dict[str, int]:
    """Container ids and the pids of our shims that serve them."""
    found = {}
    for pid in processes():
        try:
            words = command_line(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0] == "docker-containerd-shim" and str(daemon.address) in words and "-id" in words:
            found[words[words.index("-id") + 1]] = pid
    return found


def zygote(daemon: Daemon) -> int:
    """0 where there is none."""
    for child in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if command_line(int(child))[1:] == ["zygote"]:
                return int(child)
    return 0


class Events:
    """What `ctr events` has printed so far."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def of(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        return [(topic, event) for topic, event in self.seen if event.get("container_id") == name]

    def topics(self, name: str) -> list[str]:
        return [topic for topic, _ in self.of(name)]


@contextmanager
def watching(daemon: Daemon) -> Iterator[Events]:
    """Follow the events of the daemon while the block runs."""
    events = Events()
    with subprocess.Popen([*daemon.client(), "events"], stdout=subprocess.PIPE, text=True) as client:

        def read() -> None:
            assert client.stdout is not None
            for line in client.stdout:
                topic, _, event = line[line.index("/"):].partition(" ")
                events.seen.append((topic, json.loads(event)))

        reader = threading.Thread(target=read)
        reader.start()
        probes = iter(range(10**6))
        try:
            until(lambda: daemon.ctr("namespaces", "create", f"probe{next(probes)}") and events.seen, "events arrive")
            yield events
        finally:
            client.kill()
            reader.join()

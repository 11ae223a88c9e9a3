"""Ten containers with work in flight, and what must be true of them whatever was killed meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.harness.engine import HOST, Engine
from tests.harness.http import Stream
from tests.harness.wait import until

WRITE = "i=0; while :; do echo $i; i=$((i+1)); usleep 1000; done"
AWAIT = "until [ -e /go ]; do usleep 20000; done; rm /go; exit "
PORT = 7077
IDLE = [f"idle{number}" for number in range(7)]


class Crowd:
    """A writer of numbered lines, an echo server on a published port, a `cat` with a raw client, and seven idle."""

    def __init__(self, engine: Engine, stack: ExitStack) -> None:
        self.engine, self.docker, self.api = engine, engine.docker, engine.api
        run = ("run", "-d", "--name")
        self.docker.ok(*run, "writer", "busybox", "sh", "-c", WRITE)
        self.docker.ok(*run, "server", "-p", f"{PORT}:7", "busybox", "nc", "-ll", "-p", "7", "-e", "cat")
        self.docker.ok(*run, "reader", "-i", "busybox", "cat")
        for name in IDLE:
            self.docker.ok(*run, name, "--init", "-v", f"{name}:/data", "busybox", "sleep", "86400")
        self.attached = stack.enter_context(attach(engine, "reader"))
        self.local, self.remote = (stack.enter_context(client) for client in self.connections())
        self.pids = {name: self.state(name)["Pid"] for name in ("writer", "server", "reader", *IDLE)}

    def connections(self) -> list[socket.socket]:
        """One that docker-proxy carries, and one from another machine, which the kernel carries."""
        local = until(lambda: answering(self.engine, "127.0.0.1"), "the server answers")
        return [*local, self.engine.neighbour.connect(HOST, PORT)]

    def state(self, name: str) -> Any:
        return self.api.get(f"/containers/{name}/json")["State"]

    def carry_on(self, word: str) -> None:
        """Nobody has died, and every stream still carries bytes both ways: true without any daemon."""
        assert not [name for name, pid in self.pids.items() if not Path(f"/proc/{pid}").exists()]
        for client in (self.local, self.remote):
            exchange(client, word.encode())
        for client in self.connections():
            with client:
                exchange(client, word.encode())
        self.attached.send(f"{word}\n".encode())
        self.attached.until(f"{word}\n".encode())

    def are_known(self) -> None:
        """The daemons see the same processes as before, and not one line is missing or doubled."""
        for name, pid in self.pids.items():
            state = self.state(name)
            assert (state["Status"], state["Pid"]) == ("running", pid), (name, state)
        written = numbers(self.docker.ok("logs", "writer"))
        until(lambda: len(numbers(self.docker.ok("logs", "writer"))) > len(written), "the writer goes on")


def answering(engine: Engine, place: str) -> list[socket.socket]:
    """A connection that reaches the server, if any does: docker-proxy accepts before the server listens."""
    client = engine.network.connect(place, PORT)
    try:
        exchange(client, b"hello")
        return [client]
    except (OSError, AssertionError):
        client.close()
        return []


def exchange(client: socket.socket, data: bytes) -> None:
    client.sendall(data)
    seen = b""
    while len(seen) < len(data):
        more = client.recv(65536)
        assert more, f"the connection ended after {seen!r}"
        seen += more
    assert seen == data


@contextmanager
def attach(engine: Engine, name: str) -> Iterator[Stream]:
    with engine.api.upgrade(f"/containers/{name}/attach", stream=1, stdin=1, stdout=1) as stream:
        assert stream.status == 101
        yield stream


def numbers(text: str) -> list[int]:
    found = [int(line) for line in text.splitlines()]
    assert found == list(range(len(found))), first_gap(found)
    return found


def first_gap(found: list[int]) -> str:
    place = next(index for index, number in enumerate(found) if index != number)
    return f"line {place} of {len(found)} reads {found[max(place - 3, 0) : place + 3]}"


def release(pid: int) -> None:
    """Lets a container that awaits `/go` exit; returns once it has."""
    Path(f"/proc/{pid}/root/go").touch()
    until(lambda: ended(pid), f"{pid} ends")


def ended(pid: int) -> bool:
    """Gone, or waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def deaths(engine: Engine, since: float, container: str) -> list[dict[str, str]]:
    """Attributes of each `die` told of a container."""
    filters = {"type": ["container"], "event": ["die"], "container": [container]}
    reply = engine.api("GET", "/events", since=f"{since:.9f}", until=f"{time.time():.9f}", filters=filters)
    return [json.loads(line)["Actor"]["Attributes"] for line in reply.body.splitlines()]

"""The real docker CLI against our protocol class and a toy engine: what it asks of a hijacked connection."""

import asyncio
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from services.dockerd.web import app, heads, reply
from services.dockerd.web.fast import Fast
from services.dockerd.web.hijack import hijack
from services.dockerd.web.listeners import open_all
from services.dockerd.web.serve import Web

router = APIRouter()
cats: list[threading.Thread] = []
DOCKER = shutil.which("docker") or "docker"
BIG = 3_000_000


@router.get("/containers/{name}/json")
async def inspect(name: str) -> Response:
    return reply.json({"Id": name, "Name": f"/{name}", "State": {"Running": True}, "Config": {"Tty": False}})


@router.post("/containers/{name}/exec")
async def create(name: str) -> Response:
    return reply.json({"Id": name}, 201)


@router.get("/exec/{name}/json")
async def result(name: str) -> Response:
    return reply.json({"ID": name, "Running": False, "ExitCode": 7})


@router.post("/exec/{name}/start")
async def start(request: Request, name: str) -> Response:
    await request.json()
    taken = await hijack(request, tty=False)
    cats.append(threading.Thread(target=cat, args=(taken.detach(), taken.unread)))
    cats[-1].start()
    return taken.gone


def cat(client: socket.socket, unread: bytes) -> None:
    """Reads to the end of input, then answers everything on stdout and a word on stderr."""
    with client:
        client.setblocking(True)
        pieces = [unread]
        while piece := client.recv(1 << 16):
            pieces.append(piece)
        data = b"".join(pieces)
        for stream, content in ((1, data), (2, b"end\n")):
            client.sendall(struct.pack(">BxxxI", stream, len(content)) + content)


@contextmanager
def serving(hosts: tuple[str, ...]) -> Iterator[Web]:
    """The toy engine in a thread of its own."""
    ready, made = threading.Event(), []

    async def main() -> None:
        web = Web(app.build(None, [router]), Fast(heads.common("test")), open_all(hosts, "0"))
        await web.start()
        stop = asyncio.Event()
        made.append((web, asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await web.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(20)
    web, loop, stop = made[0]
    try:
        yield web
    finally:
        loop.call_soon_threadsafe(stop.set)
        for each in (thread, *cats):  # what one of them says at its end belongs to this test, not to the next
            each.join(20)
            assert not each.is_alive()
        cats.clear()


def docker(host: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([DOCKER, "-H", host, *words], input=stdin, capture_output=True, timeout=60)


def check(done: subprocess.CompletedProcess[Any], stdin: bytes) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (7, stdin, b"end\n")


def test_end_of_input_reaches_the_other_side(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/s"
    with serving((host,)):
        for stdin in (b"", b"one line\n", bytes(range(256)) * (BIG // 256)):
            check(docker(host, "exec", "-i", "x", "cat", stdin=stdin), stdin)


def test_tcp_is_hijacked_too() -> None:
    with serving(("tcp://127.0.0.1:0",)) as web:
        check(docker(web.listeners[0].address, "exec", "-i", "x", "cat", stdin=b"over tcp"), b"over tcp")


def test_stop_ends_idle_connections_at_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.settimeout(20)
        with serving((f"{tmp_path}/s",)):
            idle.connect(f"{tmp_path}/s")
            idle.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            assert idle.recv(999).startswith(b"HTTP/1.1 200 OK")
        assert idle.recv(1) == b""
    assert not (tmp_path / "s").exists()

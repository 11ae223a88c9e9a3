"""A host of its own for a network controller, and containers that are namespaces without processes.

What they would serve is served by threads inside them.
"""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from services.dockerd.network import netns
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.controller import Controller, Request
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import HostConfig, PortBinding
from tests.harness.netns import Namespace

T = TypeVar("T")
WEB = {"80/tcp": [PortBinding(HostPort="8080")]}


class Place:
    """A host of its own: a namespace, and roots on disk."""

    def __init__(self, root: Path, name: str) -> None:
        self.namespace = Namespace(name)
        self.root = root
        self.config = NetworkConfig(root / "data", root / "exec")

    def run(self, scenario: Callable[[Controller], Coroutine[Any, Any, T]], **changes: Any) -> T:
        """Run with a started controller that is abandoned at the end, as by a crash."""

        return self.again([], scenario, **changes)

    def again(
        self, live: list[Request], scenario: Callable[[Controller], Coroutine[Any, Any, T]], **changes: Any
    ) -> T:
        """The same as a successor that is told what lives."""

        async def wrapped() -> T:
            controller = Controller(replace(self.config, **changes))
            try:
                await controller.start(live)
                return await scenario(controller)
            finally:
                await controller.settle()
                await controller.publisher.proxies.close()

        return self.namespace.call(lambda: asyncio.run(wrapped()))

    def request(self, number: int, **host: Any) -> Request:
        container_id = f"{number:x}" * 64
        directory = self.root / "data" / "containers" / container_id
        directory.mkdir(parents=True, exist_ok=True)
        return Request(container_id, f"box{number}", f"box{number}", "", HostConfig(**host), directory)

    def rules(self, program: str = "iptables") -> str:
        return self.namespace.run(f"{program}-save").stdout.decode()

    def links(self) -> list[str]:
        return [line.split(": ")[1].partition("@")[0] for line in self.namespace.ip("-o", "link").splitlines()]

    def proxies(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
                here = words and (entry / "ns/net").stat().st_ino == self.namespace.inode()
            except OSError:
                continue
            if here and words[0].endswith("docker-proxy") and "zygote" not in words:
                found.append(int(entry.name))
        return found


async def begin(controller: Controller, request: Request) -> Sandbox:
    sandbox = await controller.allocate(request)
    await controller.connect(request.container_id)
    return sandbox


def ip_inside(sandbox: Sandbox, *words: str) -> str:
    return subprocess.check_output(["nsenter", f"--net={sandbox.netns_path}", "ip", *words], text=True)


def echo(sandbox: Sandbox, port: int = 80) -> socket.socket:
    """Serve one connection after the other inside a sandbox: each is told who it is, then ended. Close to stop."""
    server = netns.inside(
        Path(sandbox.netns_path),
        lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))

    def serve() -> None:
        while True:
            try:
                client, peer = server.accept()
            except OSError:
                return
            with client, suppress(OSError):  # who has gone already
                client.sendall(peer[0].removeprefix("::ffff:").encode())

    threading.Thread(target=serve, daemon=True).start()
    return server


def stop(server: socket.socket) -> None:
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def asked(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=10) as client:
        return client.recv(99).decode()

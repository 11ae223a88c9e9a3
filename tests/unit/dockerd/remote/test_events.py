"""The subscription that never ends, against a containerd of memory that does."""

import asyncio
from contextlib import suppress
from pathlib import Path

from protos.containerd.types.event_pb2 import Envelope
from protos.errdefs import Unavailable
from services.dockerd.remote import events
from services.dockerd.remote.client import Client
from tests.fakes.tasks import Fake
from tests.unit.dockerd.waiting import until


class Follower:
    def __init__(self, path: Path) -> None:
        self.fake = Fake(path)
        self.client = Client(str(path))
        self.seen: list[str] = []
        self.connections = 0
        self.fails = False

    def handle(self, envelope: Envelope) -> None:
        self.seen.append(envelope.topic)

    async def connected(self) -> None:
        self.connections += 1
        if self.fails:
            raise Unavailable("not now")

    async def run(self) -> None:
        await events.follow(self.client, self.handle, self.connected)

    async def close(self, task: "asyncio.Task[None]") -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self.client.close()
        await self.fake.stop()


def test_connection_is_told_once_it_stands_and_own_echo_is_not_passed_on(tmp_path: Path) -> None:
    async def main() -> None:
        it = Follower(tmp_path / "c.sock")
        task = asyncio.ensure_future(it.run())
        await it.fake.start()
        await until(lambda: it.connections == 1)
        it.fake.run("box")
        it.fake.end("box")
        await until(lambda: it.seen == ["/tasks/exit"])
        assert it.connections == 1
        await it.close(task)

    asyncio.run(main())


def test_reconnect_is_told_again(tmp_path: Path) -> None:
    async def main() -> None:
        it = Follower(tmp_path / "c.sock")
        await it.fake.start()
        task = asyncio.ensure_future(it.run())
        for count in (1, 2, 3):
            await until(lambda count=count: it.connections == count)  # type: ignore[misc]
            await it.fake.stop()
            await it.fake.start()
        await until(lambda: it.connections == 4)
        await it.close(task)

    asyncio.run(main())


def test_failed_comparison_does_not_end_it(tmp_path: Path) -> None:
    async def main() -> None:
        it = Follower(tmp_path / "c.sock")
        it.fails = True
        await it.fake.start()
        task = asyncio.ensure_future(it.run())
        await until(lambda: it.connections == 1)
        it.fake.run("box")
        it.fake.end("box")
        await until(lambda: it.seen == ["/tasks/exit"])
        await it.close(task)

    asyncio.run(main())

"""An engine of real parts over a containerd of memory, and containers in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.dockerd.config import Config
from services.dockerd.container.container import Container
from services.dockerd.engine.assemble import assemble
from services.dockerd.engine.engine import Engine
from services.dockerd.events import Journal
from services.dockerd.images.store import Images
from services.dockerd.network.controller import Controller
from services.dockerd.remote.client import Client
from services.dockerd.volumes.store import Volumes
from tests.fakes.tasks import Fake
from tests.unit.dockerd.container import made
from tests.unit.dockerd.waiting import until


@dataclass
class Bench:
    engine: Engine
    fake: Fake

    def container(self, name: str = "box", *, running: bool = True, **host: Any) -> Container:
        """One that is on disk and in the index; running with pid 7."""
        identity = f"{len(self.engine.containers) + 1:x}" * 64
        box = made.container(self.engine.store.root, identity[:64], name)
        box.host = box.host.model_validate(box.host.model_dump() | host)
        self.engine.store.create(box)
        self.engine.containers.add(box)
        if running:
            self.fake.run(box.id)
            box.state = box.state.started(7, 1)
            box.started_before = True
        return box

    def actions(self, *wanted: str) -> list[tuple[str, str]]:
        """Events in the journal: action, and a container's name."""
        lines = self.engine.events.path.read_bytes().splitlines()
        told = [orjson.loads(line.partition(b"\t")[0]) for line in lines]
        found = [(each["Action"], each["Actor"]["Attributes"].get("name", "")) for each in told]
        return [event for event in found if not wanted or event[0] in wanted]

    async def settled(self, box: Container) -> None:
        await until(lambda: box.settled is not None and box.settled.done())


@asynccontextmanager
async def bench(root: Path, **settings: Any) -> AsyncIterator[Bench]:
    config = Config(data_root=root / "data", exec_root=root / "exec", **settings)
    (config.exec_root / "streams").mkdir(parents=True)
    fake = Fake(root / "c.sock")
    await fake.start()
    client = Client(str(fake.path))
    journal = Journal(config.data_root).open()
    engine = assemble(config, client, Images(client, "overlayfs"), Controller(config.network, lambda *_: None),
                      Volumes(config.data_root / "volumes", config.exec_root / "volumes"), journal)
    try:
        yield Bench(engine, fake)
    finally:
        for task in list(engine.background):
            task.cancel()
        await asyncio.gather(*engine.background, return_exceptions=True)
        await client.close()
        await fake.stop()
        journal.close()
        engine.volumes.close()

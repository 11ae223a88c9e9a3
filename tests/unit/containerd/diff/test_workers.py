import asyncio
import gzip
import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protos import errdefs
from protos.idmap import Mapping, Owners
from services.containerd.diff.layer import Layer
from services.containerd.diff.whiteout import Form
from services.containerd.diff.worker import Done, Task
from services.containerd.diff.workers import Workers
from tests.harness.wait import until
from tests.unit.containerd.diff.archive import Builder

PLAIN = Builder().add("usr/share/file", b"text" * 1000, mtime=1_600_000_000).add("usr/.wh.gone").plain()
DONE = Done("sha256:" + hashlib.sha256(PLAIN).hexdigest(), len(PLAIN), 4000)
OWNERS = Owners(Mapping.parse("0:100000:65536"), Mapping.parse("0:200000:65536"))


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Blob:
    def __init__(self, directory: Path, data: bytes) -> None:
        (directory / "blob").write_bytes(data)
        self.file = os.open(directory / "blob", os.O_RDONLY)
        self.state = directory
        self.place = directory / "snapshot" / "fs"
        self.place.mkdir(parents=True, exist_ok=True)
        self.task = Task(digest(data), len(data), Layer(self.place, form=Form.DEVICE), None, sync=True)

    def unpack(self, workers: Workers) -> "asyncio.Task[Done]":
        return asyncio.create_task(workers.unpack(self.task, self.file))


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[Blob]:
    made = Blob(tmp_path, gzip.compress(PLAIN))
    yield made
    os.close(made.file)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("owners", [None, OWNERS])
def test_task_survives_the_wire(tmp_path: Path, owners: Owners | None) -> None:
    task = Task("sha256:1", 7, Layer(tmp_path / "a\nb", (tmp_path / "ü",), Form.FILE), owners, sync=True)
    assert Task.decode(task.encode()) == task
    assert task.encode().count(b"\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are devices")
def test_layer_is_unpacked_by_a_process(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        assert await blob.unpack(workers) == DONE
        await workers.close()

    asyncio.run(main())
    assert (blob.place / "usr/share/file").read_bytes() == b"text" * 1000
    assert (blob.place / "usr/gone").is_char_device()
    assert (blob.place.parent / "implied").read_bytes() == b"usr\0usr/share\0."


def test_many_parents_fit_into_a_request(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        parents = tuple(blob.place.with_name("p" * 200 + str(number)) for number in range(2000))
        task = Task(blob.task.digest, blob.task.size, Layer(blob.place, parents), None, sync=False)
        assert await workers.unpack(task, blob.file) == DONE
        await workers.close()

    asyncio.run(main())


@pytest.mark.parametrize(("data", "kind", "text"), [
    (Builder().add("../../climbed").plain(), errdefs.InvalidArgument, "leads out of the layer"),
    (gzip.compress(PLAIN)[:-100], errdefs.InvalidArgument, "decompressed"),
])
def test_error_keeps_its_class(tmp_path: Path, data: bytes, kind: type[Exception], text: str) -> None:
    async def main() -> None:
        workers, bad = Workers(tmp_path), Blob(tmp_path, data)
        with pytest.raises(kind, match=text):
            await bad.unpack(workers)
        assert len(workers.idle) == 1  # it goes on with the next
        await workers.close()
        os.close(bad.file)

    asyncio.run(main())
    assert not (tmp_path / "climbed").exists()


def test_death_fails_that_unpack_alone(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        await blob.unpack(workers)
        pid = workers.idle[0].process.pid
        os.kill(pid, signal.SIGSTOP)
        stuck = blob.unpack(workers)
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(errdefs.Internal, match=r"died: killed by signal 9"):
            await stuck
        assert await blob.unpack(workers) == DONE
        await workers.close()

    asyncio.run(main())


def test_signal_is_answered_with_stacks(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        await blob.unpack(workers)
        os.kill(workers.idle[0].process.pid, signal.SIGUSR1)
        log = blob.state / "docker-unpack.stacks.log"
        await asyncio.to_thread(until, lambda: log.exists() and "worker.py" in log.read_text(), "stacks are written")
        assert await blob.unpack(workers) == DONE
        await workers.close()

    asyncio.run(main())


def test_idle_process_that_died_is_not_missed(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        await blob.unpack(workers)
        process = workers.idle[0].process
        process.kill()
        process.wait()
        assert await blob.unpack(workers) == DONE
        await workers.close()

    asyncio.run(main())


def test_cancelled_unpack_ends_its_process(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state)
        await blob.unpack(workers)
        pid = workers.idle[0].process.pid
        os.kill(pid, signal.SIGSTOP)
        stuck = blob.unpack(workers)
        await asyncio.sleep(0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert not lives(pid)
        assert not workers.idle

    asyncio.run(main())


def test_processes_are_as_many_as_cores(blob: Blob) -> None:
    async def main() -> None:
        workers, tasks = Workers(blob.state), []
        for number in range(3 * len(os.sched_getaffinity(0))):
            place = blob.place / str(number)
            place.mkdir()
            tasks.append(replace(blob.task, place=Layer(place, form=Form.DEVICE)))
        assert set(await asyncio.gather(*(workers.unpack(task, blob.file) for task in tasks))) == {DONE}
        assert 1 <= len(workers.idle) <= len(os.sched_getaffinity(0))
        await workers.close()

    asyncio.run(main())


def test_idle_process_ends(blob: Blob) -> None:
    async def main() -> None:
        workers = Workers(blob.state, patience=0.01)
        await blob.unpack(workers)
        (idle,) = workers.idle
        await asyncio.to_thread(until, lambda: not workers.idle, "the process has retired")
        assert not lives(idle.process.pid)

    asyncio.run(main())


def test_process_ends_with_its_parent(blob: Blob) -> None:
    """A daemon that is killed leaves nobody who goes on to write into a snapshot."""
    reader, writer = os.pipe()
    daemon = os.fork()
    if daemon == 0:
        async def main() -> None:
            workers = Workers(blob.state)
            await blob.unpack(workers)
            pid = workers.idle[0].process.pid
            os.kill(pid, signal.SIGSTOP)  # so that it does not see the end of its socket
            os.write(writer, b"%d" % pid)
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            asyncio.run(main())
        finally:
            os._exit(1)
    os.close(writer)
    pid = int(os.read(reader, 32))
    os.close(reader)
    os.waitpid(daemon, 0)
    until(lambda: not Path(f"/proc/{pid}").exists() or b") Z " in Path(f"/proc/{pid}/stat").read_bytes(),
          "the orphan is gone")

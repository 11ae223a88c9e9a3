"""Blobs from first byte to removal, and what a crash may leave."""

import asyncio
import hashlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from protos import errdefs
from services.containerd.content.ingest import Ingest
from services.containerd.content.store import ContentStore
from tests.unit.containerd.metadata.stores import NS, Stores, open_stores

T = TypeVar("T")
DATA = os.urandom(300_000)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Content:
    """A content store that can be reopened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stores: Stores = open_stores(path)
        self.store = ContentStore(path / "content", self.stores.content)
        self.store.open()

    def reopen(self) -> "Content":
        self.stores.db.close()
        return Content(self.path)

    async def writer(self, ref: str = "ref", total: int = 0, expected: str = "", namespace: str = NS) -> Ingest:
        return await self.store.writer(namespace, ref, total, expected, "")

    async def put(self, data: bytes, namespace: str = NS) -> str:
        ingest = await self.writer(namespace=namespace)
        await ingest.write(data)
        return await ingest.commit(len(data), "", {})

    def files(self) -> list[str]:
        return sorted(entry.name for entry in (self.path / "content").rglob("*") if entry.is_file())


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(tmp_path)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def read(content: Content, name: str, namespace: str = NS) -> bytes:
    file, info = content.store.open_blob(namespace, name)
    try:
        return os.pread(file, info.size, 0)
    finally:
        os.close(file)


def test_committed_blob_is_read_back(content: Content) -> None:
    name = run(content.put(DATA))
    assert name == digest(DATA)
    assert read(content, name) == DATA
    assert content.store.info(NS, name).size == len(DATA)
    assert content.store.statuses(NS, []) == []
    assert content.files() == [name.removeprefix("sha256:")]


def test_blob_is_invisible_before_commit(content: Content) -> None:
    async def work() -> None:
        ingest = await content.writer()
        await ingest.write(DATA)
        with pytest.raises(errdefs.NotFound):
            content.store.info(NS, digest(DATA))
        assert content.store.status(NS, "ref").offset == len(DATA)
        ingest.close()

    run(work())


@pytest.mark.parametrize(("size", "expected"), [(5, ""), (0, digest(b"other"))])
def test_wrong_size_or_digest_is_refused(content: Content, size: int, expected: str) -> None:
    async def work() -> None:
        ingest = await content.writer()
        await ingest.write(DATA)
        with pytest.raises(errdefs.FailedPrecondition):
            await ingest.commit(size, expected, {})
        ingest.close()

    run(work())
    assert content.store.select(NS, []) == []


@pytest.mark.parametrize("first", [1000, 2 << 20])
def test_ingest_resumes_after_a_restart(content: Content, first: int) -> None:
    data = os.urandom(3 << 20)

    async def begin() -> None:
        ingest = await content.writer()
        await ingest.write(data[:first])

    async def go_on(again: Content) -> str:
        ingest = await again.writer()
        assert ingest.offset == first
        await ingest.write(data[first:])
        return await ingest.commit(len(data), digest(data), {})

    run(begin())
    again = content.reopen()
    assert read(again, run(go_on(again))) == data


def test_ref_has_one_writer(content: Content) -> None:
    async def work() -> None:
        ingest = await content.writer()
        with pytest.raises(errdefs.Unavailable, match="locked"):
            await content.writer()
        with pytest.raises(errdefs.Unavailable):
            content.store.abort(NS, "ref")
        ingest.close()
        (await content.writer()).close()
        content.store.abort(NS, "ref")
        with pytest.raises(errdefs.NotFound):
            content.store.abort(NS, "ref")

    run(work())
    assert content.files() == []


def test_existing_blob_is_not_written_again(content: Content) -> None:
    async def work() -> None:
        name = await content.put(DATA)
        with pytest.raises(errdefs.AlreadyExists):
            await content.writer("other", expected=name)
        ingest = await content.writer("third")
        await ingest.write(DATA)
        with pytest.raises(errdefs.AlreadyExists):
            await ingest.commit(0, "", {})
        assert content.store.statuses(NS, []) == []

    run(work())


def test_existing_blob_is_held_by_the_lease_that_would_write_it(content: Content) -> None:
    async def work() -> None:
        name = await content.put(DATA)
        content.stores.leases.create(NS, "one", {})
        ingest = await content.store.writer(NS, "third", 0, "", "one")
        await ingest.write(DATA)
        with pytest.raises(errdefs.AlreadyExists):
            await ingest.commit(0, "", {})
        assert [each.id for each in content.stores.leases.resources(NS, "one")] == [name]

    run(work())


def test_blob_of_another_namespace_is_shared_on_request(content: Content) -> None:
    async def work() -> str:
        name = await content.put(DATA)
        with pytest.raises(errdefs.NotFound):
            content.store.info("other", name)
        with pytest.raises(errdefs.AlreadyExists):
            await content.writer(expected=name, namespace="other")
        assert read(content, name, "other") == DATA
        content.store.delete(NS, name)
        return name

    assert read(content, run(work()), "other") == DATA


def test_same_bytes_in_two_namespaces_are_one_file(content: Content) -> None:
    async def work() -> str:
        await content.put(DATA)
        name = await content.put(DATA, "other")
        assert len(content.files()) == 1
        content.store.delete("other", name)
        return name

    assert read(content, run(work())) == DATA


def test_last_delete_takes_the_file(content: Content) -> None:
    async def work() -> None:
        name = await content.put(DATA)
        file, _ = content.store.open_blob(NS, name)
        content.store.delete(NS, name)
        assert os.pread(file, 10, 0) == DATA[:10]
        os.close(file)
        with pytest.raises(errdefs.NotFound):
            content.store.delete(NS, name)

    run(work())
    assert content.files() == []


def test_restart_begins_anew(content: Content) -> None:
    async def work() -> str:
        ingest = await content.writer()
        await ingest.write(b"wrong")
        ingest.restart()
        await ingest.write(DATA)
        return await ingest.commit(len(DATA), digest(DATA), {"a": "b"})

    assert content.store.info(NS, run(work())).labels == {"a": "b"}


def test_commit_under_a_lost_lease_can_be_repeated(content: Content) -> None:
    async def work() -> None:
        content.stores.leases.create(NS, "l", {})
        ingest = await content.store.writer(NS, "ref", 0, "", "l")
        await ingest.write(DATA)
        content.stores.leases.delete(NS, "l")
        with pytest.raises(errdefs.NotFound):
            await ingest.commit(0, "", {})
        ingest.close()
        again = await content.writer()
        assert again.offset == len(DATA)
        await again.commit(0, digest(DATA), {})

    run(work())


def test_start_removes_what_nobody_names(content: Content) -> None:
    (content.path / "content/blobs/sha256" / ("0" * 64)).write_bytes(b"orphan")
    (content.path / "content/ingest/77").write_bytes(b"orphan")
    (content.path / "content/trash/x.1").write_bytes(b"orphan")
    assert content.reopen().files() == []


def test_start_forgets_a_blob_whose_file_is_gone(content: Content) -> None:
    name = run(content.put(DATA))
    content.store.path(name).unlink()
    assert content.reopen().store.select(NS, []) == []


def test_stale_ingests_expire_but_held_ones_stay(content: Content) -> None:
    async def work() -> None:
        for ref in ("held", "stale", "open"):
            ingest = await content.writer(ref)
            if ref != "open":
                ingest.close()
        assert content.store.expire_ingests(2**62, {(NS, "held")}) == 1
        ingest.close()

    run(work())
    assert [status.ref for status in content.store.statuses(NS, [])] == ["held", "open"]


@pytest.mark.parametrize("name", ["", "sha256:xyz", "sha256:../../../etc/passwd", "md5:0"])
def test_path_of_a_bad_digest_is_refused(content: Content, name: str) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        content.store.path(name)


def test_what_another_wrote_into_the_file_is_taken_in(content: Content) -> None:
    async def written() -> str:
        ingest = await content.writer()
        ingest.path.write_bytes(DATA + b"never told of")
        ingest.follow(1000)
        ingest.follow(len(DATA))
        return await ingest.commit(len(DATA), digest(DATA), {})

    assert read(content, run(written())) == DATA


def test_bytes_that_are_not_in_the_file_are_not_taken_in(content: Content) -> None:
    async def told() -> None:
        ingest = await content.writer()
        ingest.path.write_bytes(b"short")
        ingest.follow(6)

    with pytest.raises(errdefs.OutOfRange, match="has 5 bytes, not 6"):
        run(told())

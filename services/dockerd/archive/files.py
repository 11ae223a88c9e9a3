"""`docker cp`: stat, read and write paths of a container, running or not.

All work on files is done in threads, on descriptors beneath the container's root. A running container is reached
through its own root, volumes and all; of another one the snapshot is mounted with its volumes on top.
"""

import asyncio
import concurrent.futures
import contextlib
import errno
import itertools
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from protos import errdefs, tar
from protos.idmap import Owners
from services.dockerd import alone, beneath, rootfs
from services.dockerd.archive import pathstat, reader, walk, writer
from services.dockerd.archive.content import Entry
from services.dockerd.archive.extract import Extractor
from services.dockerd.beneath import closing
from services.dockerd.container.container import Container
from services.dockerd.engine import notify, tasks, views
from services.dockerd.engine.engine import Engine
from services.dockerd.oci import user as users
from services.dockerd.volumes import mounts

T = TypeVar("T")

_KERNEL: Final = ("proc", "sys", "dev")
"""Mounts of the runtime's that an archive of a running container shows empty."""
_readers = concurrent.futures.ThreadPoolExecutor(8, "archive")


async def describe(engine: Engine, reference: str, path: str) -> dict[str, Any]:
    """The stat of a path; NotFound with Docker's text."""
    container = engine.containers.get(reference)
    async with _root(engine, container) as root:
        with _translated(container, reference, path):
            return await _in_thread(lambda: _describe(root, pathstat.absolute(path)))


def _describe(root: int, path: str) -> dict[str, Any]:
    with closing(_hold(root, path)) as place:
        status = os.fstat(place)
    return pathstat.document(path, status, beneath.resolve(root, path) if stat.S_ISLNK(status.st_mode) else "")


def _hold(root: int, path: str) -> int:
    """The path's own descriptor: a link at its end is followed only before a trailing slash."""
    follow = path.endswith(("/", "/."))
    return beneath.open_in(root, path, os.O_PATH | (os.O_DIRECTORY if follow else os.O_NOFOLLOW))


async def read(engine: Engine, reference: str, path: str) -> tuple[dict[str, Any], AsyncIterator[bytes]]:
    """The stat of a path and its archive, whose names begin with the path's last element."""
    container = engine.containers.get(reference)
    wanted = pathstat.absolute(path)
    stack = contextlib.AsyncExitStack()
    try:
        root = await stack.enter_async_context(_root(engine, container))
        with _translated(container, reference, path):
            described = await _in_thread(lambda: _describe(root, wanted))
            place = await _in_thread(lambda: _hold(root, wanted))
        stack.callback(os.close, place)
    except BaseException:
        await stack.aclose()
        raise
    notify.container(engine, container, "archive-path")
    return described, _chunks(stack, _archive(root, place, wanted, engine.config.owners))


def _archive(root: int, place: int, path: str, owners: Owners | None) -> Iterator[bytes]:
    name = os.fsencode(pathstat.base(path).rstrip("/"))
    entries = walk.Walk(opaque=walk.mounts_of(root, _KERNEL), owners=owners).entries(place, name, name)
    return writer.write(entries)


async def export(engine: Engine, reference: str) -> AsyncIterator[bytes]:
    """The container's whole root file system as an archive, without what is mounted on it."""
    container = engine.containers.get(reference)
    if container.state.running:
        root = await _in_thread(lambda: rootfs.bare(container.state.pid))
    else:
        layers = container.rootfs or await tasks.mounts(engine, container)
        root = await _in_thread(lambda: rootfs.detached(rootfs.readonly(layers)))
    stack = contextlib.AsyncExitStack()
    stack.callback(os.close, root)
    notify.container(engine, container, "export")
    entries = walk.Walk(owners=engine.config.owners).entries(root, b"", b"")
    return _chunks(stack, writer.write(_relative(entries)))


def _relative(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Without the root itself, and with names that do not begin with a slash."""
    for entry in itertools.islice(entries, 1, None):
        header = entry.header
        link = header.link.lstrip(b"/") if header.type == tar.HARD_LINK else header.link
        yield Entry(replace(header, name=header.name.lstrip(b"/"), link=link), entry.content)


async def _chunks(stack: contextlib.AsyncExitStack, archive: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The archive made in worker threads, a chunk at a time as the client takes it."""
    loop = asyncio.get_running_loop()
    async with stack:
        while chunk := await loop.run_in_executor(_readers, next, archive, b""):
            yield chunk


async def write(
    engine: Engine, reference: str, path: str, body: AsyncIterator[bytes], *, keep_kinds: bool = False,
    own: bool = False,
) -> None:
    """Extract an archive into a directory of the container; with `own` its files belong to the container's user."""
    container = engine.containers.get(reference)
    chunks = _Body(body, asyncio.get_running_loop())
    async with contextlib.AsyncExitStack() as stack:
        if not container.state.running:
            await stack.enter_async_context(container.lock)
        root = await stack.enter_async_context(_root(engine, container, change=True))
        with _translated(container, reference, path):
            extractor = partial(Extractor, root, keep_kinds=keep_kinds, owners=engine.config.owners)
            await _in_thread(lambda: _extract(extractor, root, container, path, chunks, own))
    notify.container(engine, container, "extract-to-dir")


def _extract(
    extractor: Callable[..., Extractor], root: int, container: Container, path: str, chunks: Iterator[bytes], own: bool
) -> None:
    with closing(beneath.open_in(root, pathstat.absolute(path).rstrip(".") or "/", os.O_PATH)) as place:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            raise errdefs.InvalidArgument("extraction point is not a directory")
    target = beneath.resolve(root, path)
    _check_writable(container, target)
    owner = None
    if own and container.config.User:
        user = users.resolve(root, container.config.User)
        owner = (user.uid, user.gid)
    extractor(target, owner=owner).apply(reader.read(chunks))


def _check_writable(container: Container, target: str) -> None:
    for point in container.mounts:
        if target == point.destination or target.startswith(point.destination + "/"):
            if not point.rw:
                raise errdefs.InvalidArgument("mounted volume is marked read-only")
            return
    if container.host.ReadonlyRootfs:
        raise errdefs.InvalidArgument("container rootfs is marked read-only")


@contextlib.asynccontextmanager
async def _root(engine: Engine, container: Container, *, change: bool = False) -> AsyncIterator[int]:
    """Descriptor of the container's root for as long as the block lasts."""
    if container.state.running:
        with closing(rootfs.running(container.state.pid, container.id)) as root:
            yield root
        return
    if not container.rootfs:
        container.rootfs = await tasks.mounts(engine, container)
    purpose = f"-copy-{secrets.token_hex(8)}"
    points = [point for point in container.mounts if point.type != "tmpfs"]
    try:
        ready = await mounts.attach(engine.volumes, container.id, points, views.of(engine, container), purpose)
        # A mount's place may have to be made; without one, reading needs no layer that is written to.
        layers = container.rootfs if change or ready else rootfs.readonly(container.rootfs)
        with closing(await alone.run(lambda: rootfs.detached(layers, ready), "archive")) as root:
            await mounts.unpin(engine.volumes, container.id, points, purpose)
            yield root
    finally:
        await mounts.detach(engine.volumes, container.id, points, purpose)


@contextlib.contextmanager
def _translated(container: Container, reference: str, path: str) -> Iterator[None]:
    """What the kernel says of a path, in Docker's words."""
    try:
        yield
    except FileNotFoundError as error:
        raise errdefs.NotFound(f"Could not find the file {path} in container {reference}") from error
    except OSError as error:
        text = f"{path}: {(error.strerror or str(error)).lower()}"
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV, errno.EROFS):
            raise errdefs.InvalidArgument(text) from error
        raise errdefs.Internal(f"copying to or from container {container.id}: {text}") from error


class _Body(Iterator[bytes]):
    """A request's body as the thread that extracts it reads it: each piece is fetched by the loop when it is wanted."""

    def __init__(self, body: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._body = body
        self._loop = loop

    def __next__(self) -> bytes:
        chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        if chunk is None:
            raise StopIteration
        return chunk

    async def _next(self) -> bytes | None:
        async for chunk in self._body:
            if chunk:
                return chunk
        return None


async def _in_thread(work: Callable[[], T]) -> T:
    return await alone.run(work, "archive")

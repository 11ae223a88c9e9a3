"""Work that says records while it goes on, as the stream of them that a client reads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

Say = Callable[[bytes], None]


async def records(work: Callable[[Say], Coroutine[Any, Any, None]]) -> AsyncIterator[bytes]:
    """What `work` says, as it comes; its failure behind the last. Whoever stops reading ends the work."""
    said: asyncio.Queue[bytes | None] = asyncio.Queue()
    task = asyncio.create_task(work(said.put_nowait))
    task.add_done_callback(lambda _: said.put_nowait(None))
    try:
        while (record := await said.get()) is not None:
            yield record
        await task
    finally:
        task.cancel()
        with contextlib.suppress(BaseException):
            await task

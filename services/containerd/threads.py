"""Blocking work beside the event loop, which a cancelled caller waits for: its files stay open until it is over."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` in a thread. A cancellation is raised only once the thread has ended."""
    return await _finish(asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs)), lambda: None)


async def run_stoppable(stop: Callable[[], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same, for long work that ends early once `stop` was called, which a cancellation does."""
    return await _finish(asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs)), stop)


async def _finish(running: "asyncio.Future[T]", stop: Callable[[], None]) -> T:
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
            stop()
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()

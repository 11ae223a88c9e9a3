"""Work in a thread of its own: what may last for hours, or wait for a dead file server, is to fill no pool."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run(work: Callable[[], T], name: str) -> T:
    """The result of `work`; who is cancelled meanwhile leaves it to its fate, and the process ends without it."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def apart() -> None:
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, outcome, result)

    threading.Thread(target=apart, name=name, daemon=True).start()
    return await outcome


def _settle(outcome: "asyncio.Future[T]", result: "concurrent.futures.Future[T]") -> None:
    if outcome.done():
        return  # nobody waits any more
    if error := result.exception():
        outcome.set_exception(error)
    else:
        outcome.set_result(result.result())

"""Threads for calls that wait on the kernel or a child: the network's own, so that nobody else's work holds them up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
COUNT: Final = 6


class Threads:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(COUNT, "network")

    def run(self, action: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._pool, action)

    def close(self) -> None:
        self._pool.shutdown(wait=False)

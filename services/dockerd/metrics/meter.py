"""Where dockerd counts and times itself: nothing at all unless --metrics-addr asks. What becomes of it: families.py.

A family is Docker's name without `engine_daemon_` and unit: `container_actions`.
"""

import functools
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Sink(Protocol):
    def count(self, family: str, *labels: str) -> None: ...

    def seconds(self, family: str, elapsed: float, *labels: str) -> None: ...


_sink: Sink | None = None


def install(sink: Sink | None) -> None:
    """From now on tell `sink`; None ends it."""
    global _sink
    _sink = sink


def sink() -> Sink | None:
    return _sink


def count(family: str, *labels: str) -> None:
    if _sink is not None:
        _sink.count(family, *labels)


def timed(family: str, *labels: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Time each call that succeeds, as Docker does."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.perf_counter()
            result = await function(*args, **kwargs)
            if _sink is not None:
                _sink.seconds(family, time.perf_counter() - began, *labels)
            return result

        return measured

    return decorate

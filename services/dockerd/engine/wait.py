"""`wait`: until a container has ended, ends next, or is gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import orjson

from protos import errdefs
from services.dockerd.container.container import Container, Outcome
from services.dockerd.engine.engine import Engine

CONDITIONS: Final = ("not-running", "next-exit", "removed")


def wait(engine: Engine, reference: str, condition: str = "") -> asyncio.Future[Outcome]:
    """A future with the exit code, done at once where the condition holds."""
    if condition and condition not in CONDITIONS:
        raise errdefs.InvalidArgument(f'invalid condition: "{condition}"')
    container = engine.containers.get(reference)
    return until(container, condition or "not-running")


def until(container: Container, condition: str) -> asyncio.Future[Outcome]:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    if condition == "not-running" and at_rest(container):
        future.set_result(Outcome(container.state.exit_code, container.state.error))
    else:
        container.waiters.setdefault(condition, []).append(future)
        future.add_done_callback(lambda done: _forget(container, condition, done))
    return future


def wake(container: Container, condition: str) -> None:
    """Answer those who wait for `condition`."""
    error = "" if condition == "removed" else container.state.error  # a start's failure is no failure to remove
    outcome = Outcome(container.state.exit_code, error)
    for waiter in container.waiters.pop(condition, []):
        if not waiter.done():
            waiter.set_result(outcome)


async def reply(ended: asyncio.Future[Outcome]) -> AsyncIterator[bytes]:
    """The answer on the wire, once it is known; given up, the future is forgotten."""
    try:
        outcome = await ended
        error = {"Message": outcome.error} if outcome.error else None
        yield orjson.dumps({"StatusCode": outcome.code, **({"Error": error} if error else {})}) + b"\n"
    finally:
        ended.cancel()


def at_rest(container: Container) -> bool:
    """Nothing of it runs or is about to, and what its last end left has been released."""
    return container.released and not container.state.active


def _forget(container: Container, condition: str, future: asyncio.Future[Outcome]) -> None:
    waiting = container.waiters.get(condition, [])
    if future in waiting:
        waiting.remove(future)

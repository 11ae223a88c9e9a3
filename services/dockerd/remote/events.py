"""docker-containerd's events of tasks, as a subscription that never ends.

After each (re)connection `connected` is called, once the subscription is known to stand: what happened meanwhile is
then found by listing. That it stands is shown by an event of our own, published until it comes back.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from google.protobuf import any_pb2

from protos import errdefs
from protos.containerd.services.events.v1 import events_pb2
from protos.containerd.types.event_pb2 import Envelope
from services.dockerd.remote.client import Client

log = logging.getLogger("events")

_TOPICS: Final = ("/tasks/exit", "/tasks/oom")
_PAUSE: Final = 0.1
_ECHO: Final = 0.05


async def follow(
    client: Client, handle: Callable[[Envelope], None], connected: Callable[[], Awaitable[None]]
) -> None:
    """Run until cancelled; `handle` is called for each exit and each kill for want of memory, in order."""
    while True:
        try:
            await _session(client, handle, connected)
        except errdefs.EngineError as error:
            log.info("subscription interrupted error=%s", error)
        await asyncio.sleep(_PAUSE)


async def _session(
    client: Client, handle: Callable[[Envelope], None], connected: Callable[[], Awaitable[None]]
) -> None:
    topic = f"/dockerd/subscribed/{secrets.token_hex(8)}"
    scope = f"namespace=={client.namespace}"
    request = events_pb2.SubscribeRequest(filters=[f'{scope},topic=="{each}"' for each in (*_TOPICS, topic)])
    echo = asyncio.create_task(_announce(client, topic), name="announce")
    comparing: asyncio.Task[None] | None = None
    try:
        async for envelope in client.stream(client.events.Subscribe, request):
            if envelope.topic != topic:
                handle(envelope)
            elif comparing is None:
                echo.cancel()
                comparing = asyncio.ensure_future(_guard(connected))
    finally:
        echo.cancel()
        if comparing is not None:
            comparing.cancel()


async def _announce(client: Client, topic: str) -> None:
    request = events_pb2.PublishRequest(topic=topic, event=any_pb2.Any(type_url="google.protobuf.Empty"))
    while True:
        with contextlib.suppress(errdefs.Unavailable, errdefs.DeadlineExceeded):
            await client.call(client.events.Publish, request)
        await asyncio.sleep(_ECHO)


async def _guard(connected: Callable[[], Awaitable[None]]) -> None:
    try:
        await connected()
    except errdefs.EngineError as error:
        log.warning("tasks not compared error=%s", error)

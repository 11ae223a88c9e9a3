"""The event exchange: what happens here and in shims, to whoever subscribed. Nothing is kept for later.

A subscriber that lags too far behind is cut off with ResourceExhausted, so that it knows to look at the state anew.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from protos import errdefs, typeurl
from protos.containerd.types.event_pb2 import Envelope
from services.containerd import filters, identifiers
from services.containerd.metadata.labels import stamp

MAX_WAITING: Final = 65536
"""Events a subscriber may leave unread."""
_TOPIC: Final = re.compile(r"(/[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*)+")


class Exchange:
    def __init__(self) -> None:
        self._subscribers: set[Subscription] = set()

    def publish(self, namespace: str, topic: str, event: Message) -> None:
        """Tell subscribers of an event of this process."""
        if self._subscribers:
            packed = typeurl.from_message(event)
            self._send(Envelope(timestamp=stamp(time.time_ns()), namespace=namespace, topic=topic, event=packed))

    def publish_any(self, namespace: str, topic: str, event: Any) -> None:
        """Tell subscribers of a client's own event; InvalidArgument for a topic that is none."""
        identifiers.check(namespace)
        _check_topic(topic)
        self._send(Envelope(timestamp=stamp(time.time_ns()), namespace=namespace, topic=topic, event=event))

    def forward(self, envelope: Envelope) -> None:
        """Pass on an event that was stamped elsewhere; InvalidArgument for one that is not whole."""
        identifiers.check(envelope.namespace)
        _check_topic(envelope.topic)
        if not envelope.HasField("timestamp"):
            raise errdefs.InvalidArgument("timestamp must be set on forwarded event")
        self._send(envelope)

    def _send(self, envelope: Envelope) -> None:
        for subscriber in self._subscribers:
            subscriber.offer(envelope)

    @contextmanager
    def subscribe(self, wanted: Sequence[str]) -> Iterator["Subscription"]:
        """Events from now on that match any of the filters."""
        subscription = Subscription(filters.compile_all(wanted))
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)


class Subscription:
    def __init__(self, match: filters.Match) -> None:
        self._match = match
        self._waiting: deque[Envelope] = deque()
        self._wake = asyncio.Event()
        self._overrun = False

    def offer(self, envelope: Envelope) -> None:
        if self._overrun or not self._match(lambda path: _field(envelope, path)):
            return
        if len(self._waiting) >= MAX_WAITING:
            self._overrun = True
            self._waiting.clear()
        else:
            self._waiting.append(envelope)
        self._wake.set()

    async def next(self) -> Envelope:
        while not self._waiting:
            if self._overrun:
                raise errdefs.ResourceExhausted(f"more than {MAX_WAITING} events were left unread; subscribe again")
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


def _check_topic(topic: str) -> None:
    if not topic:
        raise errdefs.InvalidArgument("topic must not be empty")
    if not _TOPIC.fullmatch(topic):
        raise errdefs.InvalidArgument(f"topic {topic!r} must be of words after slashes")


def _field(envelope: Envelope, path: Sequence[str]) -> str | None:
    match list(path):
        case ["namespace"]:
            return envelope.namespace
        case ["topic"]:
            return envelope.topic
        case ["event", *inner]:
            return _event_field(envelope, inner)
    return None


def _event_field(envelope: Envelope, path: Sequence[str]) -> str | None:
    """A field of the event's message, where its type is one of ours."""
    try:
        kind = descriptor_pool.Default().FindMessageTypeByName(envelope.event.type_url.rpartition("/")[2])
        found: object = message_factory.GetMessageClass(kind).FromString(envelope.event.value)
    except (KeyError, DecodeError):
        return None
    for name in path:
        found = found.get(name) if hasattr(found, "get") else getattr(found, name, None)
        if found is None:
            return None
    return str(found)

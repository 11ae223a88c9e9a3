import asyncio

import pytest

from protos import errdefs, typeurl
from protos.containerd.events.task_pb2 import TaskExit
from protos.containerd.types.event_pb2 import Envelope
from services.containerd.events import exchange as module
from services.containerd.events.exchange import Exchange, Subscription
from services.containerd.metadata.labels import stamp


async def drain(subscription: Subscription) -> list[str]:
    """Topics of the events that wait."""
    topics = []
    while True:
        try:
            topics.append((await asyncio.wait_for(subscription.next(), 0.01)).topic)
        except TimeoutError:
            return topics


def received(*filters: str) -> list[str]:
    async def run() -> list[str]:
        exchange = Exchange()
        with exchange.subscribe(filters) as subscription:
            exchange.publish("moby", "/tasks/exit", TaskExit(container_id="c", exit_status=3))
            exchange.publish("moby", "/tasks/oom", TaskExit(container_id="d"))
            exchange.publish("other", "/tasks/exit", TaskExit(container_id="c"))
            return await drain(subscription)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["/tasks/exit", "/tasks/oom", "/tasks/exit"]),
        (["namespace==moby,topic~=|^/tasks/|"], ["/tasks/exit", "/tasks/oom"]),
        (["topic==/tasks/oom"], ["/tasks/oom"]),
        (["event.container_id==d"], ["/tasks/oom"]),
        (["event.exit_status==3"], ["/tasks/exit"]),
        (["event.nothing==3"], []),
        (["topic==/tasks/oom", "namespace==other"], ["/tasks/oom", "/tasks/exit"]),
    ],
)
def test_filters_choose(filters: list[str], expected: list[str]) -> None:
    assert received(*filters) == expected


def test_subscription_ends_with_its_block() -> None:
    async def run() -> list[str]:
        exchange = Exchange()
        with exchange.subscribe([]) as subscription:
            pass
        exchange.publish("moby", "/tasks/exit", TaskExit())
        return await drain(subscription)

    assert asyncio.run(run()) == []


def test_lagging_subscriber_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)

    async def run() -> None:
        exchange = Exchange()
        with exchange.subscribe([]) as slow, exchange.subscribe(["namespace==none"]) as other:
            for _ in range(5):
                exchange.publish("moby", "/tasks/exit", TaskExit())
            with pytest.raises(errdefs.ResourceExhausted):
                await slow.next()
            assert await drain(other) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(topic="/a", namespace="moby"),
        Envelope(topic="", namespace="moby", timestamp=stamp(1)),
        Envelope(topic="no-slash", namespace="moby", timestamp=stamp(1)),
        Envelope(topic="/a//b", namespace="moby", timestamp=stamp(1)),
        Envelope(topic="/a", namespace="", timestamp=stamp(1)),
    ],
)
def test_incomplete_forward_is_refused(envelope: Envelope) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        Exchange().forward(envelope)


def test_forwarded_event_keeps_its_time() -> None:
    async def run() -> Envelope:
        exchange = Exchange()
        with exchange.subscribe([]) as subscription:
            event = typeurl.from_message(TaskExit(container_id="c"))
            exchange.forward(Envelope(topic="/tasks/exit", namespace="moby", timestamp=stamp(5), event=event))
            return await subscription.next()

    assert asyncio.run(run()).timestamp == stamp(5)

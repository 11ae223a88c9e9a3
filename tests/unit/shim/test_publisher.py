"""Events reach a grpc server, in order and at least once, however often it is gone."""

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from protos import typeurl
from protos.containerd.events import task_pb2
from protos.containerd.services.events.v1 import events_pb2, events_pb2_grpc
from services.shim.loop import Loop
from services.shim.publisher import Publisher


class Containerd(events_pb2_grpc.EventsServicer):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[int] = []
        self.refuse: list[grpc.StatusCode] = []
        self.server: grpc.Server | None = None

    def Forward(self, request: events_pb2.ForwardRequest, context: Any) -> empty_pb2.Empty:
        assert dict(context.invocation_metadata())["containerd-namespace"] == request.envelope.namespace == "moby"
        assert request.envelope.HasField("timestamp")
        if self.refuse:
            context.abort(self.refuse.pop(), "not now")
        event = task_pb2.TaskStart()
        assert typeurl.to_message(request.envelope.event, event)
        self.seen.append(event.pid)
        return empty_pb2.Empty()

    def start(self) -> None:
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        events_pb2_grpc.add_EventsServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"unix:{self.path}")
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(0).wait()
            self.path.unlink(missing_ok=True)


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Containerd]:
    containerd = Containerd(tmp_path / "c.sock")
    yield containerd
    containerd.stop()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def publish(publisher: Publisher, numbers: range) -> None:
    for number in numbers:
        publisher.publish("/tasks/start", task_pb2.TaskStart(container_id="x", pid=number))


def flush(loop: Loop, publisher: Publisher) -> None:
    async def wait() -> None:
        await publisher.drained()

    loop.run_until(loop.spawn(loop.timeout(wait(), 20)))


def test_events_arrive_in_order(loop: Loop, containerd: Containerd) -> None:
    containerd.start()
    publisher = Publisher(loop, f"unix://{containerd.path}", "moby")
    publish(publisher, range(1, 101))
    flush(loop, publisher)
    assert containerd.seen == list(range(1, 101))
    publisher.close()


def test_nothing_to_publish_is_drained(loop: Loop, containerd: Containerd) -> None:
    flush(loop, Publisher(loop, str(containerd.path), "moby"))


def test_events_wait_for_a_server_that_comes_later(loop: Loop, containerd: Containerd) -> None:
    publisher = Publisher(loop, str(containerd.path), "moby")
    publish(publisher, range(1, 4))
    loop.run_until(loop.spawn(loop.sleep(0.2)))
    containerd.start()
    flush(loop, publisher)
    assert containerd.seen == [1, 2, 3]
    publisher.close()


def test_events_survive_a_server_that_goes_and_comes(loop: Loop, containerd: Containerd) -> None:
    publisher = Publisher(loop, str(containerd.path), "moby")
    for round_ in range(3):
        containerd.start()
        publish(publisher, range(round_ * 10, round_ * 10 + 5))
        flush(loop, publisher)
        containerd.stop()
        publish(publisher, range(round_ * 10 + 5, round_ * 10 + 10))
    containerd.start()
    flush(loop, publisher)
    assert list(dict.fromkeys(containerd.seen)) == list(range(30))
    publisher.close()


def test_busy_server_is_asked_again(loop: Loop, containerd: Containerd) -> None:
    containerd.refuse = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN]
    containerd.start()
    publisher = Publisher(loop, str(containerd.path), "moby")
    publish(publisher, range(1, 3))
    flush(loop, publisher)
    assert containerd.seen == [1, 2]
    publisher.close()


def test_refused_event_does_not_hold_up_the_others(loop: Loop, containerd: Containerd) -> None:
    containerd.refuse = [grpc.StatusCode.INVALID_ARGUMENT] * 5
    containerd.start()
    publisher = Publisher(loop, str(containerd.path), "moby")
    publish(publisher, range(1, 3))
    flush(loop, publisher)
    assert containerd.seen == [2]
    publisher.close()

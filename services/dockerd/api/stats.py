"""Route of `docker stats`: one sample, or one a second until the client or the container has gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from protos import errdefs
from protos.containerd.services.tasks.v1 import tasks_pb2
from services.dockerd import stats
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.web import reply
from services.dockerd.web.context import engine_of
from services.dockerd.web.query import flag

router = APIRouter()

PERIOD: Final = 1.0
"""Seconds between samples."""


@router.get("/containers/{name}/stats")
async def container_stats(request: Request, name: str) -> Response:
    engine = engine_of(request)
    container = engine.containers.get(name)
    stream, one_shot = flag(request, "stream", True), flag(request, "one-shot")
    if stream and one_shot:
        raise errdefs.InvalidArgument("cannot have stream=true and one-shot=true")
    if stream:
        return reply.Stream(_samples(engine, container), "application/json")
    first = await _sample(engine, container, None)
    if one_shot or not container.state.running:
        return reply.json(first)
    await asyncio.sleep(PERIOD)
    return reply.json(await _sample(engine, container, first))


async def _samples(engine: Engine, container: Container) -> AsyncIterator[bytes]:
    previous: dict[str, Any] | None = None
    while container.id in engine.containers:
        current = await _sample(engine, container, previous)
        yield orjson.dumps(current) + b"\n"
        previous = current if container.state.running else None
        await asyncio.sleep(PERIOD)


async def _sample(engine: Engine, container: Container, previous: dict[str, Any] | None) -> dict[str, Any]:
    subject = stats.Subject(
        container.id, container.name, container.state.pid, container.host.NetworkMode == "host"
    )
    metrics = None
    if container.state.running:
        request = tasks_pb2.MetricsRequest(filters=[f"id=={container.id}"])
        try:
            answer = await engine.client.call(engine.client.tasks.Metrics, request)
        except errdefs.NotFound:
            answer = tasks_pb2.MetricsResponse()
        metrics = next((metric.data for metric in answer.metrics if metric.id == container.id), None)
    return stats.sample(subject, metrics, previous, time.time_ns())

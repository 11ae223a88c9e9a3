"""Health checks: a command in the container from time to time, and what its exit code says. Times in seconds.

The command is an exec whose output (its last 4096 bytes at most) is read through its streams. The state is told as
the event `health_status: …` when it changes.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from typing import Final

from protos import errdefs
from services.dockerd.container import stamp
from services.dockerd.container.container import Container, Health
from services.dockerd.container.state import Status
from services.dockerd.engine import notify, save, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.engine.records import Exec
from services.dockerd.metrics import meter
from services.dockerd.schema.container import HealthConfig

log = logging.getLogger("health")

_OUTPUT: Final = 4096
_KEPT: Final = 5
_INTERVAL: Final = 30.0
_TIMEOUT: Final = 30.0
_START_INTERVAL: Final = 5.0
_RETRIES: Final = 3


def command(config: HealthConfig | None, shell: list[str] | None) -> list[str]:
    """What a check runs; empty where there is none."""
    kind, *words = (config.Test or [""]) if config else [""]
    if kind == "CMD":
        return words
    if kind == "CMD-SHELL":
        return [*(shell or ["/bin/sh", "-c"]), *words]
    return []


def start(engine: Engine, container: Container) -> None:
    """Begin to check a container that has just started."""
    stop(container)
    if not command(container.config.Healthcheck, container.config.Shell):
        container.health = None
        return
    container.health = Health()
    container.probe = engine.spawn(_run(engine, container), f"health {container.short}")


def resume(engine: Engine, container: Container) -> None:
    """Go on checking a container that ran while dockerd was away."""
    if command(container.config.Healthcheck, container.config.Shell) and container.probe is None:
        container.health = container.health or Health()
        container.probe = engine.spawn(_run(engine, container), f"health {container.short}")


def stop(container: Container) -> None:
    if container.probe:
        container.probe.cancel()
        container.probe = None


def _seconds(nanoseconds: int, default: float) -> float:
    return nanoseconds / 1e9 if nanoseconds else default


async def _run(engine: Engine, container: Container) -> None:
    config = container.config.Healthcheck
    if config is None:
        return
    interval, grace = _seconds(config.Interval, _INTERVAL), _seconds(config.StartPeriod, 0)
    ran = max(0.0, (time.time_ns() - container.state.started_at) / 1e9)  # most of it, perhaps, under another dockerd
    until = time.monotonic() + grace - ran
    while container.state.running:
        starting = time.monotonic() < until and container.health and container.health.status == "starting"
        early = min(interval, _seconds(config.StartInterval, _START_INTERVAL))
        await asyncio.sleep(early if starting and grace else interval)
        if container.state.status is not Status.RUNNING:
            continue
        began = time.time_ns()
        meter.count("health_checks")
        code, output = await _probe(engine, container, config)
        _note(engine, container, config, code, output, began, graceful=time.monotonic() < until)


@meter.timed("health_check_start_duration")
async def _start(engine: Engine, subject: Exec, container: Container, theirs: socket.socket) -> None:
    from services.dockerd.engine import execs  # it tells this module of ends, by way of exits

    execs.create(engine, container.id, subject)
    await execs.start(engine, subject, container, _Pair(theirs))


async def _probe(engine: Engine, container: Container, config: HealthConfig) -> tuple[int, str]:
    """Run the command once; exit code and output. Codes other than 0 are failures, -1 what could not be run."""
    subject = Exec("", "", command(config, container.config.Shell), stdout=True, stderr=True, probe=True)
    ours, theirs = socket.socketpair()
    timeout = _seconds(config.Timeout, _TIMEOUT)
    reading = asyncio.ensure_future(_read(ours))
    try:
        await _start(engine, subject, container, theirs)
        async with asyncio.timeout(timeout):
            await subject.ended.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.shield(reading)
        return subject.exit_code or 0, bytes(_buffer(reading)).decode(errors="replace")
    except TimeoutError:
        with contextlib.suppress(errdefs.EngineError):
            await tasks.kill(engine, container.id, 9, exec_id=subject.id)
        return -1, f"Health check exceeded timeout ({_duration(timeout)})"
    except errdefs.EngineError as error:
        meter.count("health_checks_failed")  # as Docker: what could not be run
        return -1, str(error)
    finally:
        reading.cancel()
        ours.close()
        theirs.close()


def _duration(seconds: float) -> str:
    """As Go prints it: `500ms`, `1.5s`, `2m0s`."""
    minutes, rest = divmod(seconds, 60)
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"


class _Pair:
    """A client of the exec that is ourselves."""

    unread = b""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def detach(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self._socket.fileno()))

    def close(self) -> None:
        self._socket.close()


def _buffer(reading: "asyncio.Future[bytes]") -> bytes:
    return reading.result() if reading.done() and not reading.cancelled() else b""


async def _read(sock: socket.socket) -> bytes:
    """The output's beginning, taken out of its stdcopy frames; the rest is read and dropped."""
    sock.setblocking(False)
    loop, raw, output = asyncio.get_running_loop(), b"", b""
    while chunk := await loop.sock_recv(sock, 65536):
        raw += chunk
        while len(raw) >= 8 and len(raw) >= 8 + int.from_bytes(raw[4:8], "big"):
            size = int.from_bytes(raw[4:8], "big")
            output, raw = (output + raw[8:8 + size])[:_OUTPUT], raw[8 + size:]
    return output


def judge(status: str, streak: int, code: int, retries: int, *, graceful: bool) -> tuple[str, int]:
    """Status and failures in a row after a check that ended with `code`. `graceful`: in the start period, in which a
    container that has not been healthy yet may fail (pure)."""
    if code == 0:
        return "healthy", 0
    if graceful and status == "starting":
        return status, streak
    return ("unhealthy" if streak + 1 >= retries else status), streak + 1


def _note(
    engine: Engine, container: Container, config: HealthConfig, code: int, output: str, began: int, *, graceful: bool
) -> None:
    health = container.health
    if health is None or not container.state.running:
        return
    health.log = [*health.log, {
        "Start": stamp.rfc3339(began), "End": stamp.rfc3339(time.time_ns()), "ExitCode": code, "Output": output,
    }][-_KEPT:]
    before = health.status
    retries = config.Retries or _RETRIES
    health.status, health.streak = judge(before, health.streak, code, retries, graceful=graceful)
    if health.status != before:
        engine.containers.refresh(container)
        notify.container(engine, container, f"health_status: {health.status}")
    save.save(engine, container)

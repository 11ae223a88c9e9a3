"""Drivers whose sink is another program: how each is fed, and what may wait for it.

A driver is loaded by the shim, before it forks: whoever feeds a sink again, after days, may find no installation.
"""

import os
import socket
from collections.abc import Callable
from typing import Final

from protos.streams.v1 import streams_pb2
from services.shim.logger.feeder import Target, serve
from services.shim.logger.options import ASYNC, buffer, truth
from services.shim.logger.sink import Limit, Reaper, Sink
from services.shim.loop import Loop

_EVENTS: Final = 1 << 20
_ASYNC_SIZE: Final = 64 << 20
"""Docker counts events alone here; a shim's memory is bounded as well."""


def open_sink(loop: Loop, reaper: Reaper, config: streams_pb2.Config) -> Sink | None:
    """None for a driver that there is not."""
    name = config.log_driver
    load = _LOADERS.get(name)
    if load is None:
        return None
    make = load(config, os.getpid())

    def body(channel: socket.socket, first: bool) -> None:
        serve(channel, make, name, config.container_id, connect=first, most=_TOGETHER.get(name, 1))

    return Sink(loop, reaper, name, limit(config), body)


def limit(config: streams_pb2.Config) -> Limit:
    options = config.log_options
    size = buffer(options.get("mode", ""), options.get("max-buffer-size", ""))
    if size < 0 and config.log_driver == "fluentd" and any(truth(name, options.get(name) or "false") for name in ASYNC):
        return Limit(_ASYNC_SIZE, _events(options.get("fluentd-buffer-limit", "")))
    return Limit(size)


def _events(text: str) -> int:
    return buffer("non-blocking", text) if text else _EVENTS


Maker = Callable[[], Target]


def _syslog(config: streams_pb2.Config, pid: int) -> Maker:
    from services.shim.logger.sinks.syslog import Syslog

    if config.log_options.get("syslog-address", "").startswith("tcp+tls:"):
        from services.shim.logger.sinks import secure  # noqa: F401
    return lambda: Syslog(config.log_options, config.log_tag, pid)


def _journald(config: streams_pb2.Config, pid: int) -> Maker:
    from services.shim.logger.sinks.journald import Journald

    return lambda: Journald(config.log_attributes)


def _gelf(config: streams_pb2.Config, pid: int) -> Maker:
    from services.shim.logger.sinks.gelf import Gelf

    return lambda: Gelf(config.log_options, socket.gethostname(), config.log_attributes)


def _fluentd(config: streams_pb2.Config, pid: int) -> Maker:
    from services.shim.logger.sinks.fluentd import Fluentd

    if config.log_options.get("fluentd-address", "").startswith("tls:"):
        from services.shim.logger.sinks import secure  # noqa: F401
    return lambda: Fluentd(config.log_options, config.log_tag, config.log_attributes)


def _splunk(config: streams_pb2.Config, pid: int) -> Maker:
    from services.shim.logger.sinks.splunk import Splunk

    if config.log_options.get("splunk-url", "").startswith("https:"):
        from services.shim.logger.sinks import secure  # noqa: F401
    return lambda: Splunk(config.log_options, config.log_tag, socket.gethostname(), config.log_attributes)


_LOADERS: Final[dict[str, Callable[[streams_pb2.Config, int], Maker]]] = {
    "syslog": _syslog, "journald": _journald, "gelf": _gelf, "fluentd": _fluentd, "splunk": _splunk,
}
_TOGETHER: Final = {"splunk": 1000}
"""Lines that are taken together where each call of a sink's waits for an answer."""

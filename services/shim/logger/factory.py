"""Which log driver a configuration names. What an ordinary container does not need is imported where it is used."""

from collections.abc import Callable
from typing import Protocol

from protos.errdefs import FailedPrecondition, Unimplemented
from protos.streams.v1 import streams_pb2
from services.shim.logger.driver import Background, Driver
from services.shim.logger.file import LogFile
from services.shim.logger.jsonfile import JsonFile
from services.shim.logger.none import Nothing
from services.shim.logger.options import Options
from services.shim.loop import Loop
from services.shim.reaper import Child


class Processes(Protocol):
    """Where a driver's own processes come from."""

    @property
    def background(self) -> Background: ...

    def fork(self, body: Callable[[], None]) -> Child: ...

    def signal(self, pid: int, number: int) -> bool: ...


async def open_driver(loop: Loop, processes: Processes, config: streams_pb2.Config) -> Driver:
    """InvalidArgument for its options, Unknown for a sink that is not there, Unimplemented for an unknown driver."""
    if config.log_driver in ("", "none"):
        return Nothing()
    if config.log_driver == "json-file":
        return _file(config.log_path, lambda: JsonFile(
            config.log_path, Options.parse(config.log_options), config.log_attributes, processes.background))
    if config.log_driver == "local":
        return _local(config.log_path, Options.local(config.log_options), config, processes.background)
    from services.shim.logger.network import open_sink

    sink = open_sink(loop, processes, config)
    if sink is None:
        raise Unimplemented(f"log driver {config.log_driver} is not there")
    await sink.ready()
    if not config.log_cache_path:
        return sink
    from services.shim.logger.cached import Cached

    try:
        cache = _local(config.log_cache_path, Options.cache(config.log_options), config, processes.background)
    except BaseException:
        sink.close()
        raise
    return Cached(sink, cache)


def _local(path: str, options: Options, config: streams_pb2.Config, background: Background) -> LogFile:
    from services.shim.logger.local import Layout

    attributes = config.log_attributes if config.log_driver == "local" else {}
    return _file(path, lambda: LogFile(path, options, Layout(attributes), background))


def _file(path: str, make: Callable[[], LogFile]) -> LogFile:
    try:
        return make()
    except OSError as error:
        text = f"failed to initialize logging driver: open {path}: {error.strerror}"
        raise FailedPrecondition(text) from error

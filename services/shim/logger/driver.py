"""What a log driver is to the stream owner, and which one a configuration names."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from protos.errdefs import Unimplemented
from protos.streams.v1 import streams_pb2
from services.shim.loop import Future

Record = tuple[str, bytes]
Background = Callable[[Callable[[], None]], Future[Any]]
"""Runs a function in a process of its own; the Future says when that has ended."""


class Replay(Protocol):
    """What was logged so far, oldest first, catching up with what is being logged."""

    def read(self) -> list[Record] | None:
        """Some records, `(stream, bytes)`; None once there are no more, for now."""

    def close(self) -> None: ...


class Driver(Protocol):
    """Takes a container's output as it was read, and never fails: what cannot be written is counted.

    `blocked` is a Future while more cannot be taken; whoever writes waits for it, as the container then does.
    """

    blocked: Future[None] | None
    written: int
    dropped: int

    def write(self, stream: str, data: bytes, now: int) -> None:
        """Log what was read of "stdout" or "stderr" at `now`, in nanoseconds since the epoch."""

    def end(self, stream: str, now: int) -> None:
        """The stream has ended, perhaps in the middle of a line."""

    def pending(self, stream: str) -> bytes:
        """The unfinished line, not logged yet."""

    def replay(self) -> Replay | None:
        """None where the driver cannot read."""

    def close(self) -> None:
        """Write what was held back, whatever `blocked` says, and let go of the log."""


def open_driver(config: streams_pb2.Config, background: Background) -> Driver:
    """The driver a configuration names; InvalidArgument for its options, Unimplemented for a driver not there."""
    # Imported here: a shim loads the driver it uses.
    if config.log_driver in ("", "none"):
        from services.shim.logger.none import Nothing

        return Nothing()
    if config.log_driver == "json-file":
        from services.shim.logger.jsonfile import JsonFile
        from services.shim.logger.options import Options

        options = Options.parse(_strings(config.log_options))
        return JsonFile(config.log_path, options, _strings(config.log_attributes), background)
    raise Unimplemented(f"log driver {config.log_driver} is not there yet: use json-file or none")


def _strings(values: Mapping[str, str]) -> dict[str, str]:
    return dict(values)

"""What a log driver is to the stream owner. Which one a configuration names is factory.py's to say."""

from collections.abc import Callable
from typing import Any, Protocol

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

    @property
    def blocked(self) -> Future[None] | None: ...

    @property
    def written(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def write(self, stream: str, data: bytes, now: int) -> None:
        """Log what was read of "stdout" or "stderr" at `now`, in nanoseconds since the epoch."""

    def end(self, stream: str, now: int) -> None:
        """The stream has ended, perhaps in the middle of a line."""

    def pending(self, stream: str) -> bytes:
        """The unfinished line, not logged yet."""

    def replay(self) -> Replay | None:
        """None where the driver cannot read."""

    def close(self) -> Future[None] | None:
        """Write what was held back, whatever `blocked` says, and let go of the log.

        A Future where some of it is on its way still.
        """

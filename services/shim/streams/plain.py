"""Stdio as containerd has it: fifos, files and `binary://` loggers.

The shim holds both ends of an output fifo, so that a reader may come and go: without one the process waits, as with a
full pipe, but nobody dies. It holds a writer of the input fifo too, until CloseIO, so that a client may detach.
"""

import os
import stat
from pathlib import Path

from protos.errdefs import InvalidArgument
from services.shim.loop import Future, Loop
from services.shim.streams.pump import Pump
from services.shim.streams.stdio import Pipes, Uri


class Null:
    """No stdio at all: /dev/null three times."""

    def __init__(self) -> None:
        self.ended: Future[None] = Future()
        self.quiet = self.ended
        self.ended.set(None)
        self._pipes = Pipes()
        self._console = -1

    def child(self) -> tuple[int, int, int]:
        return self._pipes.child()

    def begin(self, console: int | None) -> None:
        self._pipes.close_child()
        self._console = -1 if console is None else console

    def accept_input(self) -> None:
        pass

    def close_stdin(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._pipes.close_child()
        if self._console >= 0:
            os.close(self._console)
            self._console = -1


class Plain:
    """Copies between the process and fifos, files or a logger's pipes.

    `outputs` are the descriptors that stdout and stderr go to, -1 for none; they are ours to close.
    """

    def __init__(
        self, loop: Loop, stdin: str, outputs: tuple[int, int], terminal: bool, owner: tuple[int, int] = (0, 0)
    ) -> None:
        self.ended: Future[None] = Future()
        self.quiet = self.ended
        self._loop = loop
        self._outputs = outputs
        self._stdin = stdin
        self._input = self._input_holder = -1
        self._stdin_closed = False
        if stdin and not Path(stdin).is_fifo():
            Path(stdin).stat()
            raise InvalidArgument(f"stdin {stdin} is not a fifo")
        self._pipes = Pipes() if terminal else Pipes.open(bool(stdin), outputs[0] >= 0, outputs[1] >= 0, *owner)
        self._console = -1
        self._out: list[Pump] = []
        self._in: Pump | None = None

    def child(self) -> tuple[int, int, int]:
        return self._pipes.child()

    def begin(self, console: int | None) -> None:
        self._pipes.close_child()
        self._console = -1 if console is None else console
        sources = (self._pipes.stdout, self._pipes.stderr) if console is None else (console, -1)
        for source, target in zip(sources, self._outputs, strict=True):
            if source >= 0 and target >= 0:
                splice = console is None and stat.S_ISFIFO(os.fstat(target).st_mode)
                self._out.append(Pump(self._loop, source, target, self._output_ended, splice))
        for pump in self._out:
            pump.start()
        self._output_ended()

    def accept_input(self) -> None:
        if not self._stdin:
            return
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._input = os.open(self._stdin, os.O_RDONLY | flags)
        self._input_holder = os.open(self._stdin, os.O_WRONLY | flags)
        target = self._pipes.stdin if self._console < 0 else self._console
        self._in = Pump(self._loop, self._input, target, self._input_ended, splice=self._console < 0)
        self._in.start()
        if self._stdin_closed:
            self.close_stdin()

    def close_stdin(self) -> None:
        self._stdin_closed = True
        if self._input_holder >= 0:
            os.close(self._input_holder)
            self._input_holder = -1

    def finish(self) -> None:
        for pump in self._out:
            pump.finish()

    def close(self) -> None:
        for pump in (*self._out, *([self._in] if self._in else [])):
            pump.stop()
        self._pipes.close_child()
        self.close_stdin()
        ours = {self._pipes.stdin, self._pipes.stdout, self._pipes.stderr, self._console, self._input, *self._outputs}
        for fd in ours - {-1}:
            self._loop.remove(fd)
            os.close(fd)
        self._pipes, self._console, self._input, self._outputs = Pipes(), -1, -1, (-1, -1)
        self.ended.set(None)

    def _output_ended(self) -> None:
        if all(pump.ended for pump in self._out):
            self.ended.set(None)

    def _input_ended(self) -> None:
        if self._pipes.stdin >= 0:
            self._loop.remove(self._pipes.stdin)
            os.close(self._pipes.stdin)
            self._pipes.stdin = -1


def open_output(uri: Uri) -> int:
    """A fifo, or a file that is appended to; of `file://` the file and its directory are made."""
    if uri.scheme == "file":
        Path(uri.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return os.open(uri.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if stat.S_ISFIFO(os.stat(uri.path).st_mode):
        return os.open(uri.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.open(uri.path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)

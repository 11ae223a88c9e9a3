"""The stream owner: takes a process's output, feeds the log, serves clients that attach, and has the process's stdin.

The log gets what was read before anybody else. A client that does not take its output holds the process back, as with
Docker, once a megabyte waits for it; the log and the loop are never held back by it.
"""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from protos.errdefs import InvalidArgument
from protos.streams.v1 import streams_pb2
from services.shim.logger.driver import Driver
from services.shim.logger.factory import Processes, open_driver
from services.shim.loop import Future, Loop
from services.shim.streams.client import Client
from services.shim.streams.control import Connection, Control
from services.shim.streams.input import Input
from services.shim.streams.stdio import Pipes

_CHUNK: Final = 64 * 1024
_LAST_CHUNKS: Final = 64


@dataclass(slots=True, eq=False)
class _Output:
    stream: str
    fd: int
    reading: bool = False


class Owner:
    """A Stdio for the shim; stand-alone, `take` is given what `begin` would make."""

    def __init__(
        self, loop: Loop, config: streams_pb2.Config, driver: Driver, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """`owner`: uid and gid that the process's pipes are given to."""
        self.ended: Future[None] = Future()
        self.quiet: Future[None] = Future()
        """Ended, every client has its output or is gone, and so has the log."""
        self.driver = driver
        self.tty = config.tty
        self.input: Input | None = None
        self.input_ends_with_client = config.stdin_once and not config.tty
        self._loop, self._config, self._owner = loop, config, owner
        self._pipes = Pipes()
        self._console = -1
        self._outputs: list[_Output] = []
        self._awaited: Future[None] | None = None
        self._clients: set[Client] = set()
        self._begun = self._finishing = self._stdin_closed = self._logged = False
        try:
            self._control = Control(loop, config.socket, self._serve)
        except BaseException:
            self.driver.close()
            raise

    # Stdio

    def child(self) -> tuple[int, int, int]:
        self._pipes = Pipes.open(self._config.open_stdin, True, True, *self._owner)
        return self._pipes.child()

    def begin(self, console: int | None) -> None:
        self._pipes.close_child()
        if console is None:
            self.take(self._pipes.stdin, self._pipes.stdout, self._pipes.stderr)
        else:
            self._console = console
            self.take(console if self._config.open_stdin else -1, console, -1)

    def take(self, stdin: int, stdout: int, stderr: int) -> None:
        """Begin with non-blocking descriptors, -1 for none; all but a terminal are the owner's to close."""
        self._begun = True
        if stdin >= 0:
            self.input = Input(self._loop, stdin, stdin != self._console, self._input_has_room)
            if self._stdin_closed:
                self.input.end()
        self._outputs = [_Output(name, fd) for name, fd in (("stdout", stdout), ("stderr", stderr)) if fd >= 0]
        for client in list(self._clients):
            client.begin()
        self._resume()

    def accept_input(self) -> None:
        """Nothing to do: a client's input is taken from the moment it attaches."""

    def close_stdin(self) -> None:
        self._stdin_closed = True
        if self.input is not None:
            self.input.end()

    def finish(self) -> None:
        """Take what is there, as much as fits a pipe, and nothing after it."""
        self._finishing = True
        for output in list(self._outputs):
            for _ in range(_LAST_CHUNKS):
                if output not in self._outputs or not self._read(output):
                    break
            self._output_ended(output)
        self._all_ended()

    def close(self) -> None:
        self._pipes.close_child()
        self.finish()
        if not self._begun:
            for fd in {self._pipes.stdin, self._pipes.stdout, self._pipes.stderr} - {-1}:
                os.close(fd)
        self._pipes = Pipes()
        if self.input is not None:
            self.input.close()
        if self._console >= 0:
            self._loop.remove(self._console)
            os.close(self._console)
            self._console = -1

    # output

    def _read(self, output: _Output) -> bool:
        """Read once and pass it on; False where there is nothing now."""
        try:
            data = os.read(output.fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self._output_ended(output)
            return False
        self.driver.write(output.stream, data, time.time_ns())
        for client in tuple(self._clients):
            client.output(output.stream, data)
        if self._held_back():
            self._pause()
        return True

    def _held_back(self) -> bool:
        if self._finishing:
            return False
        return self.driver.blocked is not None or any(client.full for client in self._clients)

    def _pause(self) -> None:
        for output in self._outputs:
            if output.reading:
                output.reading = False
                self._loop.remove_reader(output.fd)
        self._await_driver()

    def _await_driver(self) -> None:
        blocked = self.driver.blocked
        if blocked is not None and blocked is not self._awaited:
            self._awaited = blocked
            blocked.when_done(self._resume)

    def _resume(self) -> None:
        if self._held_back():
            self._await_driver()  # blocked anew by what it had held back
            return
        for output in self._outputs:
            if not output.reading:
                output.reading = True
                self._loop.add_reader(output.fd, lambda output=output: self._read(output))  # type: ignore[misc]

    def _output_ended(self, output: _Output) -> None:
        if output not in self._outputs:
            return
        self._outputs.remove(output)
        self.driver.end(output.stream, time.time_ns())
        self._loop.remove_reader(output.fd)
        if output.fd != self._console:
            self._loop.remove(output.fd)
            os.close(output.fd)
        self._all_ended()

    def _all_ended(self) -> None:
        if self._outputs or self.ended.done or not (self._begun or self._finishing):
            return
        if self.driver.blocked is not None and not self._finishing:
            self.driver.blocked.when_done(self._all_ended)
            return
        rest = self.driver.close()
        self._control.close()
        self.ended.set(None)
        for client in list(self._clients):
            if self._begun:
                client.finish(streams_pb2.EXITED)
            else:
                client.give_back()
        if rest is None:
            self._log_ended()
        else:
            rest.when_done(self._log_ended)

    def _log_ended(self) -> None:
        self._logged = True
        self._check_quiet()

    # clients

    def _serve(self, request: streams_pb2.Request, descriptors: list[int], caller: Connection) -> None:
        verb = request.WhichOneof("verb")
        if verb == "attach" and len(descriptors) == 1:
            self._attach(request.attach, descriptors[0], caller)
            return
        for fd in descriptors:
            os.close(fd)
        if verb == "status":
            status = streams_pb2.StatusReply(
                attached_clients=len(self._clients), lines_written=self.driver.written,
                lines_dropped=self.driver.dropped,
            )
            caller.reply(streams_pb2.Reply(status=status), last=True)
        elif verb == "close_stdin":
            self.close_stdin()
            caller.reply(streams_pb2.Reply(done=streams_pb2.Done()), last=True)
        else:
            caller.fail("attach needs the client's socket" if verb == "attach" else "unknown request")

    def _attach(self, attach: streams_pb2.Attach, fd: int, caller: Connection) -> None:
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            os.close(fd)
            caller.fail(f"the client's descriptor is no socket: {error.strerror}")
            return
        client = Client(self._loop, self, sock, attach, caller)
        self._clients.add(client)
        caller.reply(streams_pb2.Reply(attached=streams_pb2.Attached()), last=False)
        if self._begun:
            client.begin()

    def client_has_room(self) -> None:
        self._resume()

    def client_left(self, client: Client) -> None:
        self._clients.discard(client)
        self._resume()
        self._check_quiet()

    def _check_quiet(self) -> None:
        if self._logged and not self._clients:
            self.quiet.set(None)

    def _input_has_room(self) -> None:
        for client in tuple(self._clients):
            client.resume_input()


async def open_owner(
    loop: Loop, processes: Processes, config: streams_pb2.Config, owner: tuple[int, int] = (0, 0)
) -> Owner:
    """An owner whose log is there; any error of `open_driver`."""
    return Owner(loop, config, await open_driver(loop, processes, config), owner)


def read_config(path: Path) -> streams_pb2.Config:
    """A Config in protobuf's JSON, read without protobuf's JSON module, which a shim need not pay for."""
    config = streams_pb2.Config()
    try:
        document = json.loads(path.read_bytes())
        for field in config.DESCRIPTOR.fields:
            value = document.get(field.json_name, document.get(field.name))
            if value is None:
                continue
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                getattr(config, field.name).update(value)
            else:
                setattr(config, field.name, value)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"streams configuration {path} cannot be read: {error}") from error
    return config

"""A process's stdio: the descriptors it is given, and what becomes of its bytes. One contract, several kinds.

A task's stdio is a fifo (a bare path or `fifo://`), `file:///path`, `binary:///program?arguments`, or nothing. A
`binary://` of our own name whose first argument is `streams` is the stream owner, run inside the shim.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from protos.errdefs import InvalidArgument
from services.shim.loop import Future

OWN_NAME: Final = "docker-containerd-shim"


@dataclass(frozen=True, slots=True)
class Uri:
    """Where a stream goes; `arguments` in the order they were given."""

    scheme: str
    path: str
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def owner_config(self) -> Path | None:
        """The stream owner's configuration, if this names the stream owner."""
        own = self.scheme == "binary" and Path(self.path).name == OWN_NAME
        if own and self.arguments and self.arguments[0][0] == "streams":
            return Path(self.arguments[0][1])
        return None


def parse(text: str) -> Uri:
    scheme, found, rest = text.partition("://")
    if not found:
        return Uri("fifo", text)
    if scheme not in ("fifo", "file", "binary"):
        raise InvalidArgument(f"unknown STDIO scheme {scheme}: {text}")
    path, _, query = rest.partition("?")
    pairs = (pair.partition("=") for pair in query.replace("+", " ").split("&") if pair)
    return Uri(scheme, _unquote(path), tuple((_unquote(key), _unquote(value)) for key, _, value in pairs))


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # for the few that need it

    return unquote(text)


class Stdio(Protocol):
    """Made before the runtime is called, begun once it has the process, ended when the process has."""

    ended: Future[None]
    """All output was taken and passed to where it goes first: the log, the fifo."""
    quiet: Future[None]
    """Ended, and every attached client has its output or is gone."""

    def child(self) -> tuple[int, int, int]:
        """The descriptors for the process; not asked for where it has a terminal."""

    def begin(self, console: int | None) -> None:
        """The runtime has the process: close the child's ends and copy. `console` is the terminal's master."""

    def accept_input(self) -> None:
        """The process was started. A fifo is opened only now: to a client that is the sign to send all it has."""

    def close_stdin(self) -> None:
        """The caller says that no input comes any more from its side."""

    def finish(self) -> None:
        """The process has ended and its time is up: take what is there and wait for no more."""

    def close(self) -> None:
        """Let go of everything; nothing of the child's may be read before `begin`."""


@dataclass(slots=True)
class Pipes:
    """The three pipes between a process and us; -1 where there is none, then the process has /dev/null."""

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    child_stdin: int = -1
    child_stdout: int = -1
    child_stderr: int = -1

    @classmethod
    def open(cls, stdin: bool, stdout: bool, stderr: bool, uid: int = 0, gid: int = 0) -> "Pipes":
        pipes = cls()
        if stdin:
            pipes.child_stdin, pipes.stdin = _pipe(uid, gid)
        if stdout:
            pipes.stdout, pipes.child_stdout = _pipe(uid, gid)
        if stderr:
            pipes.stderr, pipes.child_stderr = _pipe(uid, gid)
        for ours in (pipes.stdin, pipes.stdout, pipes.stderr):
            if ours >= 0:
                os.set_blocking(ours, False)
        return pipes

    def child(self) -> tuple[int, int, int]:
        if min(self.child_stdin, self.child_stdout, self.child_stderr) < 0:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self.child_stdin = self.child_stdin if self.child_stdin >= 0 else null
            self.child_stdout = self.child_stdout if self.child_stdout >= 0 else null
            self.child_stderr = self.child_stderr if self.child_stderr >= 0 else null
        return self.child_stdin, self.child_stdout, self.child_stderr

    def close_child(self) -> None:
        for fd in {self.child_stdin, self.child_stdout, self.child_stderr} - {-1}:
            os.close(fd)
        self.child_stdin = self.child_stdout = self.child_stderr = -1


def _pipe(uid: int, gid: int) -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if uid or gid:
        os.fchown(reader, uid, gid)
        os.fchown(writer, uid, gid)
    return reader, writer

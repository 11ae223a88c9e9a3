"""The one object that starts children and waits for them.

The shim is a subreaper: a container's init and its execs, orphaned when the runtime ends, become its children too.
Exits of processes nobody has asked for yet are kept while a runtime verb that may name them is under way.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from services.shim import linux
from services.shim.loop import Future, Loop

_ALL: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `status` as a shell has it (128 + signal), `at` in nanoseconds since the epoch."""

    pid: int
    status: int
    at: int


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    exit: Future[Exit]


class Reaper:
    """Made after the fork from a zygote; there is one in a process."""

    def __init__(self, loop: Loop) -> None:
        self._expected: dict[int, Future[Exit]] = {}
        self._kept: dict[int, Exit] = {}
        self._keepers = 0
        linux.set_child_subreaper()
        os.umask(0o022)  # what a runtime inherits; files of ours name their mode
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in _ALL - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python's own; a child has them back
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        loop.on_signal(signal.SIGCHLD, self.reap)

    def spawn(self, argv: list[str], stdio: tuple[int, int, int]) -> Child:
        """Start a program, found in $PATH, with nothing of ours but the three descriptors.

        OSError where it cannot be executed.
        """
        linux.close_on_exec(3)
        # vfork and exec in C. posix_spawn would do, but glibc's leaves two signals ignored.
        started = subprocess.Popen(
            argv, stdin=stdio[0], stdout=stdio[1], stderr=stdio[2], close_fds=False
        )
        started.returncode = 0  # so that it never waits: that is ours to do
        return Child(started.pid, self.expect(started.pid))

    def fork_exec(
        self,
        argv: list[str],
        descriptors: tuple[int, ...],
        environment: Mapping[str, str] | None,
        prepare: Callable[[], None],
        report: int,
    ) -> Child:
        """As `spawn`, with `prepare` run in the child first, and any number of descriptors.

        What fails before the program runs is written to `report`, and the status is 127.
        """

        def body() -> None:
            try:
                prepare()
                _place(descriptors)
                os.execvpe(argv[0], argv, os.environ if environment is None else environment)
            except BaseException as error:
                os.write(report, f"{(isinstance(error, OSError) and error.strerror) or error}\n".encode())
                os._exit(127)

        return self.fork(body)

    def fork(self, body: Callable[[], None]) -> Child:
        """Run `body` in a copy of this process, which ends with it: 0, or 1 where it raised."""
        pid = os.fork()
        if pid == 0:
            _run_child(body)
        return Child(pid, self.expect(pid))

    def background(self, body: Callable[[], None]) -> Future[Exit]:
        """As `fork`, for work that is in no hurry."""

        def gently() -> None:
            os.nice(10)
            body()

        return self.fork(gently).exit

    def expect(self, pid: int) -> Future[Exit]:
        """The exit of a child or of a descendant that is going to be ours, come or yet to come."""
        if pid in self._expected:
            return self._expected[pid]
        future: Future[Exit] = Future()
        kept = self._kept.pop(pid, None)
        if kept is None:
            self._expected[pid] = future
        else:
            future.set(kept)
        return future

    @contextmanager
    def keep(self) -> Iterator[None]:
        """Keep exits of unknown processes meanwhile; later they are forgotten, as pids are used again."""
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self._kept.clear()

    def signal(self, pid: int, number: int) -> bool:
        """Send a signal to an expected process; False where it has ended.

        As nobody else waits for it, its pid cannot be another's meanwhile: what a pidfd would be for.
        """
        if pid not in self._expected:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def reap(self) -> None:
        """Collect everything that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(Exit(pid, shell_status(status), time.time_ns()))

    def _ended(self, ended: Exit) -> None:
        future = self._expected.pop(ended.pid, None)
        if future is not None:
            future.set(ended)
        elif self._keepers:
            self._kept[ended.pid] = ended


def shell_status(status: int) -> int:
    """A wait status as a shell shows it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _place(descriptors: tuple[int, ...]) -> None:
    """Make them 0, 1, 2 and so on, and let no other pass."""
    linux.close_on_exec(3)
    # Out of the way first: one that lies among the targets would be overwritten.
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, len(descriptors)) for each in descriptors]
    for target, each in enumerate(moved):
        os.dup2(each, target)


def _run_child(body: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _ALL:
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        body()
        status = 0
    finally:
        os._exit(status)

"""The processes that unpack layers (worker.py): at most one for each core, made when needed, ended when idle.

Each unpacks one layer at a time, into a directory that nobody else knows yet. Whether it dies or is killed, that
unpack alone fails, and its caller throws the directory away.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from protos import errdefs
from services.containerd import threads
from services.containerd.diff import worker
from services.containerd.diff.worker import Done, Task

_IDLE: Final = 10.0
"""Seconds that a process waits for more work: the layers of one image follow each other."""
_HIDDEN: Final = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_PROGRAM: Final = (sys.executable, "-P", "-m", worker.__name__)


class Worker:
    """One process, from its start to its end."""

    def __init__(self, stacks_log: Path) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        try:
            self.process = subprocess.Popen(
                [*_PROGRAM, stacks_log], stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
            )
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()
        self.retirement: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def unpack(self, task: Task, blob: int) -> Done:
        """Internal where the process died."""
        loop = asyncio.get_running_loop()
        request, line = task.encode(), b""
        try:
            sent = socket.send_fds(self._channel, [request], [blob])
            await loop.sock_sendall(self._channel, request[sent:])
            while not line.endswith(b"\n"):
                piece = await loop.sock_recv(self._channel, worker.LIMIT)
                if not piece:
                    raise EOFError
                line += piece
        except (EOFError, OSError) as error:
            status = await threads.run(self.end)
            raise errdefs.Internal(f"the process that unpacked {task.digest} died: {_death(status)}") from error
        answer = json.loads(line)
        if "code" in answer:
            raise errdefs.from_grpc(answer["code"], answer["details"])
        return Done(**answer)

    def end(self) -> int:
        """Kill it and wait until it is gone, with whatever it was doing; how it ended. Blocks."""
        self._channel.close()
        self.process.kill()
        return self.process.wait()


class Workers:
    def __init__(self, state: Path, patience: float = _IDLE) -> None:
        self.idle: list[Worker] = []
        self._stacks_log = state / f"{worker.TITLE}.stacks.log"
        self._patience = patience
        self._turns = asyncio.Semaphore(len(os.sched_getaffinity(0)))

    async def unpack(self, task: Task, blob: int) -> Done:
        """Cancelled, it returns once nobody writes into the directory any more."""
        async with self._turns:
            chosen = self._take()
            try:
                return await chosen.unpack(task, blob)
            except asyncio.CancelledError:
                await threads.run(chosen.end)
                raise
            finally:
                self._give_back(chosen)

    def _take(self) -> Worker:
        while self.idle:
            chosen = self.idle.pop()
            if chosen.retirement is not None:
                chosen.retirement.cancel()
            if chosen.alive:
                return chosen
            chosen.end()
        try:
            return Worker(self._stacks_log)
        except OSError as error:
            raise errdefs.ResourceExhausted(f"no process can be started to unpack a layer: {error.strerror}") from error

    def _give_back(self, used: Worker) -> None:
        if used.alive:
            used.retirement = asyncio.get_running_loop().call_later(self._patience, self._retire, used)
            self.idle.append(used)

    def _retire(self, idle: Worker) -> None:
        self.idle.remove(idle)
        idle.end()

    async def close(self) -> None:
        """Once no unpack is under way."""
        while self.idle:
            self._take().end()


def _death(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit code {status}"

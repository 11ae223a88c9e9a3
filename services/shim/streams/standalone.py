"""The stream owner as a program of its own, under a shim that is not ours.

As a `binary://` logger it reads stdout on descriptor 3 and stderr on 4, and closes 5 once it listens. A logger is given
no stdin; where there must be one, dockerd starts it with a directory instead: the owner makes fifos there (`stdin`,
`stdout`, `stderr`, the task's stdio), goes into the background when it listens, and outlives whoever started it.
It stays until the streams end, or until the shim says by SIGTERM that they have, and then for its last clients.
"""

import logging
import os
import signal
from pathlib import Path
from typing import Final

from protos import stacks
from services.shim.log import setup
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from services.shim.streams.owner import open_owner, read_config

log = logging.getLogger("streams")

_STDOUT: Final = 3
_STDERR: Final = 4
_READY: Final = 5
_FLUSH_SECONDS: Final = 60.0


def main(config_path: Path, directory: Path | None = None) -> int:
    setup("info", container_id=os.environ.get("CONTAINER_ID", ""), namespace=os.environ.get("CONTAINER_NAMESPACE", ""))
    if directory is not None:
        make_fifos(directory)
        ready = _go_into_background()
    else:
        ready = _READY
    try:
        _serve(config_path, directory, ready)
    except Exception as error:  # nobody else would hear of it
        log.exception("streams cannot be owned")
        config_path.with_suffix(".error").write_text(str(error))  # for dockerd: who started us says no more than that
        return 1
    return 0


def _serve(config_path: Path, directory: Path | None, ready: int) -> None:
    stacks.on_request(f"{config_path}.stacks.log")
    loop = Loop()
    reaper = Reaper(loop)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    config = read_config(config_path)
    owner = loop.run_until(loop.spawn(open_owner(loop, reaper, config)))
    loop.on_signal(signal.SIGTERM, owner.finish)
    if directory is not None:
        owner.take(*open_fifos(directory, config.tty))
    else:
        for fd in (_STDOUT, _STDERR):
            os.set_inheritable(fd, False)
            os.set_blocking(fd, False)
        owner.take(-1, _STDOUT, _STDERR)
    os.write(ready, b"\0")
    os.close(ready)
    loop.run_until(owner.ended)
    try:
        loop.run_until(loop.spawn(loop.timeout(owner.quiet, _FLUSH_SECONDS)))
    except TimeoutError:
        log.warning("attached clients do not take their output")


def make_fifos(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("stdin", "stdout", "stderr"):
        path = directory / name
        if not path.is_fifo():
            os.mkfifo(path, 0o600)


def open_fifos(directory: Path, tty: bool = False) -> tuple[int, int, int]:
    """Without waiting for the other side: the output ends once a writer has come and gone. A terminal has no stderr."""
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    return (
        os.open(directory / "stdin", os.O_RDWR | flags),
        os.open(directory / "stdout", os.O_RDONLY | flags),
        -1 if tty else os.open(directory / "stderr", os.O_RDONLY | flags),
    )


def _go_into_background() -> int:
    """The descriptor to write to once ready; whoever started us waits for that, and for nothing else."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writer)
        os._exit(0 if os.read(reader, 1) else 1)
    os.close(reader)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    return writer

"""docker-containerd: flags, signals, exit code. It dies of nobody's death: only SIGTERM or SIGINT ends it."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
from typing import Final

from protos import errdefs, stacks
from protos import log as logs
from services.containerd import config, linux
from services.containerd.config import Config

log = logging.getLogger("main")

NAME: Final = "docker-containerd"
_STOP_DEADLINE: Final = 15.0
"""Seconds after which a stop that hangs dumps all stacks and exits."""


def main() -> int:
    if sys.argv[1:2] == ["move"]:
        from services.containerd import move  # a tool, not the daemon

        return move.main(sys.argv[2:])
    if sys.argv[1:2] == ["check"]:
        from services.containerd import check  # of no use to a daemon

        return check.main(sys.argv[2:])
    try:
        settings = config.parse(sys.argv[1:])
    except errdefs.EngineError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    linux.set_title(NAME, [NAME, *sys.argv[1:]])
    logs.configure(settings.log_level, settings.log_format, "containerd.")
    try:
        asyncio.run(_run(settings))
    except (errdefs.EngineError, OSError) as error:
        _tell(settings.ready_fd, f"failed: {error}")
        log.error("cannot serve: %s", error)
        return 1
    return 0


async def _run(settings: Config) -> None:
    from services.containerd import server  # gRPC is slow to load, and a refusal does not need it

    os.umask(0o022)
    linux.become_subreaper()
    stop = _handle_signals()
    forget = stacks.always(str(settings.state / f"{NAME}.stacks.log"))
    try:
        async with server.serve(settings):
            _tell(settings.ready_fd, "ready")
            await stop.wait()
            log.info("stopping")
            faulthandler.dump_traceback_later(_STOP_DEADLINE, exit=True)
    finally:
        faulthandler.cancel_dump_traceback_later()
        forget()


def _handle_signals() -> asyncio.Event:
    """SIGTERM and SIGINT set the event, a second one ends at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return stop


def _tell(descriptor: int | None, line: str) -> None:
    """Say to whoever started us how it went; gone is no error."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, line.replace("\n", " ").encode() + b"\n")
        os.close(descriptor)
    except OSError as error:
        log.warning("nobody hears that we are %s: %s", line, error)


if __name__ == "__main__":
    sys.exit(main())

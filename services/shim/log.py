"""The shim's log: lines of key=value, through the fifo `log` of the bundle into docker-containerd's own log.

A line is dropped where nobody reads the fifo: a shim never waits for its log.
"""

import logging
import os
from pathlib import Path

_LEVELS = {"trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}


class Fifo(logging.Handler):
    """Writes whole lines to a fifo without ever blocking; opens it anew once it has a reader again."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._fd = -1

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).replace("\n", "\\n") + "\n"
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self._fd, line.encode(errors="replace"))
        except BlockingIOError:
            pass
        except OSError:
            self.close_fd()

    def close_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def setup(handler: logging.Handler, level: str, container_id: str = "", namespace: str = "") -> None:
    """Send every log record to `handler` alone, stamped, with the container it concerns."""
    where = f" id={container_id} namespace={namespace}" if container_id else ""
    handler.setFormatter(logging.Formatter(
        f"time=%(asctime)s.%(msecs)03d level=%(levelname)s logger=shim.%(name)s pid=%(process)d{where} msg=%(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(level, logging.INFO))
    logging.raiseExceptions = False

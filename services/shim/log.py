"""The shim's log: lines of key=value, through the fifo `log` of the bundle into docker-containerd's own log.

A line is dropped where nobody reads the fifo: a shim never waits for its log. Lines are made here and not by
logging.Formatter, which costs each shim's memory more than its use is worth. Two spaces stand before each key=value of
a message, so that docker-containerd can tell them from what the values say.
"""

import contextvars
import logging
import os
import sys
import time
import traceback
from typing import Final

request_var: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="")
"""Id of dockerd's request that a call is made for; not protos/log.py's, which loads what a shim does not need."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO}


class Lines(logging.Handler):
    """Writes whole lines to `path`, a fifo, without ever blocking; to standard error where there is no path."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ""
        self.where = ""
        self._fd = -1

    def emit(self, record: logging.LogRecord) -> None:
        line = self._line(record).encode(errors="replace")
        if not self.path:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self._fd, line)
        except BlockingIOError:
            pass
        except OSError:
            self._give_up()

    def _line(self, record: logging.LogRecord) -> str:
        message = _spaced(str(record.msg))
        if isinstance(record.args, tuple) and record.args:
            message = message % tuple(map(_single, record.args))
        if record.exc_info:
            message += "\n" + "".join(traceback.format_exception(*record.exc_info))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"time={stamp}.{int(record.msecs):03}Z level={record.levelname.lower()} module=shim.{record.name}"
        request = request_var.get()
        where = f"{self.where} request={request}" if request else self.where
        return f"{head}{where} pid={os.getpid()} msg=" + message.replace("\n", "\\n") + "\n"

    def _give_up(self) -> None:
        """Nobody reads, or the disk is full: try anew with the next line."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _spaced(template: str) -> str:
    first, *words = template.split(" ")
    return first + "".join(f"  {word}" if "=%" in word else f" {word}" for word in words)


def _single(value: object) -> object:
    """A text that does not look like another field."""
    return str(value).replace("  ", " ") if isinstance(value, str | BaseException) else value


_lines: Final = Lines()


def setup(level: str, path: str = "", container_id: str = "", namespace: str = "") -> None:
    """Send every log record of at least `level` to `path` alone, with the container it concerns."""
    _lines.path = path
    name = container_id[:12] if len(container_id) == 64 else container_id
    _lines.where = f" container={name} namespace={namespace}" if container_id else ""
    root = logging.getLogger()
    root.handlers[:] = [_lines]
    root.setLevel(_LEVELS[level])
    logging.raiseExceptions = False

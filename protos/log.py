"""Lines of a log, the same in dockerd and docker-containerd: one line an entry, as key=value or as a JSON object.

Each carries the container and the request it belongs to: `grep` for either follows it through all processes. The id of
a request travels as the header `REQUEST`. What a call says as `key=%s` ends the line, and is a field of the object.
The shim makes its lines by itself (services/shim/log.py), in this form.
"""

import contextvars
import json
import logging
import re
import sys
import time
from typing import Final

from protos.fields import Value, split

request_var: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="")
"""Id of the API request under way."""
container_var: contextvars.ContextVar[str] = contextvars.ContextVar("container", default="")
"""The container that is being worked on, by as much of its id as `docker ps` shows."""
namespace_var: contextvars.ContextVar[str] = contextvars.ContextVar("namespace", default="")
"""containerd's namespace of the call under way."""

REQUEST: Final = "x-request-id"
_SHORT: Final = 12
_ID: Final = re.compile("[0-9a-f]{64}")
_OURS: Final = frozenset(("time", "level", "module", "msg", "stack"))


def short(name: str) -> str:
    """An id as people see it; the name of a container that was not made by dockerd stays as it is."""
    return name[:_SHORT] if _ID.fullmatch(name) else name


def level(record: logging.LogRecord) -> str:
    """By the names that `--log-level` takes."""
    return "fatal" if record.levelno >= logging.CRITICAL else record.levelname.lower()


def scope(record: logging.LogRecord) -> dict[str, str]:
    """What an entry belongs to: of its own (`extra={"scope": …}`), or of the work under way."""
    own: dict[str, str] | None = getattr(record, "scope", None)
    if own is not None:
        return own
    found = {"container": container_var.get(), "request": request_var.get(), "namespace": namespace_var.get()}
    return {key: value for key, value in found.items() if value}


def stamp(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z"


def fields(record: logging.LogRecord) -> tuple[str, dict[str, Value]]:
    """What an entry says, and its values by key: of its own (`extra={"fields": …}`), or as its call has them."""
    own: dict[str, Value] | None = getattr(record, "fields", None)
    if own is not None:
        return record.getMessage(), own
    return split(record.msg, record.args or ()) or (record.getMessage(), {})


class Entries(logging.Formatter):
    """`program` goes before each module's name, so that it is seen whose entry it is; dockerd's own is empty."""

    def __init__(self, program: str = "") -> None:
        super().__init__()
        self.program = program

    def module(self, record: logging.LogRecord) -> str:
        """What was passed on for another process has its program already."""
        return record.name if hasattr(record, "scope") else self.program + record.name


class Lines(Entries):
    def format(self, record: logging.LogRecord) -> str:
        words = "".join(f" {key}={value}" for key, value in scope(record).items())
        stack = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        # Part of it is what clients sent: a line stays one line.
        own = "".join(f" {key}={value}" for key, value in getattr(record, "fields", {}).items())
        message = (record.getMessage() + own + stack).replace("\n", "\\n").replace("\r", "\\r")
        return f"time={stamp(record)} level={level(record)} module={self.module(record)}{words} msg={message}"


class Documents(Entries):
    def format(self, record: logging.LogRecord) -> str:
        message, values = fields(record)
        entry: dict[str, Value] = {
            "time": stamp(record), "level": level(record), "module": self.module(record), **scope(record),
            "msg": message,
        }
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        # A call that names its container means no other than that which is being worked on.
        return json.dumps(entry | {key: value for key, value in values.items() if key not in _OURS})


def configure(level: str, style: str = "text", program: str = "") -> None:
    """Send all loggers to standard error as `text` or `json`; a reader that went away is not an error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((Documents if style == "json" else Lines)(program))
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    logging.raiseExceptions = False
    for noisy in ("asyncio", "grpc", "uvicorn", "hpack"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """From `level` on, entries are written."""
    logging.getLogger().setLevel(_LEVELS.get(level, level.upper()))


_LEVELS: Final = {"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL", "panic": "CRITICAL"}

"""dockerd's log: lines of key=value on standard error, with the request they belong to."""

import contextvars
import json
import logging
import sys
import time
from typing import Final

request_var: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="")
"""Id of the API request under way; set in web/app.py."""

_LEVELS: Final = {"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL", "panic": "CRITICAL"}


class Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        request = request_var.get()
        scope = f" request={request}" if request else ""
        # Part of it is what clients sent: a line stays one line.
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = (
            f"time={stamp}.{int(record.msecs):03}Z level={record.levelname.lower()} module={record.name}{scope}"
            f" msg={message}"
        )
        return line + "\n" + self.formatException(record.exc_info) if record.exc_info else line


class Documents(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{stamp}.{int(record.msecs):03}Z", "level": record.levelname.lower(), "module": record.name,
            "msg": record.getMessage(),
        }
        if request := request_var.get():
            entry["request"] = request
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(level: str, style: str = "text") -> None:
    """Send all loggers to standard error as `text` or `json`; a reader that went away is not an error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Documents() if style == "json" else Lines())
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    logging.raiseExceptions = False
    for noisy in ("asyncio", "grpc", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """From `level` on, lines are written."""
    logging.getLogger().setLevel(_LEVELS.get(level, level.upper()))

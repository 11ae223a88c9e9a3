"""Log lines as key=value on standard error, with the namespace of the call they belong to."""

import logging
import sys
import time
from typing import Final

from protos.rpc import namespace_var

LEVELS: Final = ("debug", "info", "warn", "error", "fatal")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = record.levelname.lower()
        namespace = namespace_var.get()
        scope = f" namespace={namespace}" if namespace else ""
        stamp += f".{int(record.msecs):03}Z"
        line = f"time={stamp} level={level} module={record.name}{scope} msg={record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str) -> None:
    """Send all loggers to standard error; a reader that went away is not an error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level={"warn": "WARNING", "fatal": "CRITICAL"}.get(level, level.upper()), handlers=[handler])
    logging.raiseExceptions = False
    for noisy in ("grpc", "asyncio", "hpack"):
        logging.getLogger(noisy).setLevel(logging.INFO)

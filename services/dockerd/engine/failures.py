"""A failed start in Docker's words: prefix, exit code and class of the error (pure)."""

from dataclasses import dataclass
from typing import Final

from protos import errdefs

PREFIX: Final = "failed to create task for container: "
_SHIM: Final = "failed to create shim task: "
_RUNTIME: Final = "OCI runtime create failed"
_MISSING: Final = ("executable file not found", "no such file or directory", "system cannot find the file specified",
                   "failed to run runc create/exec call")
_FORBIDDEN: Final = ("permission denied", "is a directory")


@dataclass(frozen=True, slots=True)
class Failure:
    error: errdefs.EngineError
    code: int
    """The exit code the container gets."""


def of_create(error: errdefs.EngineError) -> Failure:
    """What Tasks.Create answered."""
    text = str(error)
    if _RUNTIME in text and _SHIM not in text:
        text = _SHIM + text
    if not text.startswith(PREFIX):
        text = PREFIX + text
    return _classify(text, error)


def of_start(error: errdefs.EngineError) -> Failure:
    """What Tasks.Start, or anything beside the runtime, answered."""
    return _classify(str(error), error)


def of_exec(error: errdefs.EngineError) -> Failure:
    """What Tasks.Start of an exec answered."""
    failure = _classify(str(error), error)
    return failure if failure.code != 128 else Failure(failure.error, 126)


def _classify(text: str, error: errdefs.EngineError) -> Failure:
    low = text.lower()
    if "not a directory" in low:
        text += (": Are you trying to mount a directory onto a file (or vice-versa)? "
                 "Check if the specified host path exists and is the expected type")
        return Failure(errdefs.InvalidArgument(text), 127)
    if any(sign in low for sign in _FORBIDDEN):
        return Failure(errdefs.InvalidArgument(text), 126)
    if any(sign in low for sign in _MISSING):
        return Failure(errdefs.InvalidArgument(text), 127)
    kind = type(error) if not isinstance(error, errdefs.NotFound) else errdefs.Unknown
    return Failure(kind(text), 128)

"""Names of namespaces, containers and leases: containerd's rule and its refusals. Pure."""

import re
from typing import Final

from protos import errdefs

MAX_LENGTH: Final = 76
MAX_LABEL: Final = 4096
_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def check(name: str) -> str:
    """The name itself, or InvalidArgument with the reason."""
    if not name:
        raise errdefs.InvalidArgument("identifier must not be empty")
    if len(name) > MAX_LENGTH:
        raise errdefs.InvalidArgument(f"identifier {name!r} greater than maximum length ({MAX_LENGTH} characters)")
    if not _NAME.fullmatch(name):
        raise errdefs.InvalidArgument(f"identifier {name!r} must match {_NAME.pattern}")
    return name


def check_digest(digest: str) -> str:
    """A sha256 digest in its only spelling, or InvalidArgument: nothing else may name a file of ours."""
    if not _DIGEST.fullmatch(digest):
        raise errdefs.InvalidArgument(f"{digest!r} is not a sha256 digest")
    return digest


def check_label(key: str, value: str) -> None:
    """containerd's bound on the length of a label."""
    if len(key) + len(value) > MAX_LABEL:
        raise errdefs.InvalidArgument(
            f"label key and value length ({len(key) + len(value)} bytes) greater than maximum size ({MAX_LABEL} bytes),"
            f" key: {key[:10]}"
        )

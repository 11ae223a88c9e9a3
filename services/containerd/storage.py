"""What the disk refuses, in words for the caller."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from protos import errdefs

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """An OSError of the block as an error of ours: ResourceExhausted where space is lacking."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise errdefs.ResourceExhausted(f"{doing}: no space left on device") from error
        raise errdefs.Unavailable(f"{doing}: {error}") from error

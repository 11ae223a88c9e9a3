"""How a layer says what its parents have no more: `.wh.NAME`, and `.wh..wh..opq` for all of a directory."""

import os
import stat
from enum import Enum
from typing import Final

PREFIX: Final = b".wh."
META_PREFIX: Final = b".wh..wh."
OPAQUE: Final = b".wh..wh..opq"
LINKS: Final = b".wh..wh.plnk"
"""Where layers that aufs made keep files that have several names; its files are there for hard links only."""
OPAQUE_XATTR: Final = "trusted.overlay.opaque"
"""On a directory of an overlay's upper layer; its value is `y`."""


class Form(Enum):
    """What a whiteout becomes in the tree that a layer is unpacked into."""

    GONE = "removes what it names"
    DEVICE = "overlayfs's: a device, or an xattr of the directory"
    FILE = "aufs's: the file it is in the archive"


def is_device(facts: os.stat_result) -> bool:
    """Whether a file of an upper layer is a whiteout: the character device 0:0."""
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0


def hidden(name: bytes) -> bytes:
    """The name that a whiteout hides; ValueError where it would be none of this directory."""
    target = name.removeprefix(PREFIX)
    if target in (b"", b".", b".."):
        raise ValueError(f"whiteout {name!r} hides no name")
    return target

"""Who a container's process runs as: `User`, `--group-add` and the container's own passwd and group files.

The files belong to the image: they are opened beneath its root, never waited for, regular files only, and read up to
a limit. Ids outside 0…2^32-2 are refused before anything can wrap around to 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """Numeric identity of a process; `additional` holds the primary group too, `home` is "" where unknown."""

    uid: int = 0
    gid: int = 0
    additional: tuple[int, ...] = ()
    home: str = ""


def resolve(root: int, user: str, groups: Sequence[str] = ()) -> User:
    """The identity `user` (name or uid, optionally `:` and name or gid) has beneath the directory descriptor `root`.

    `groups` are `--group-add`. InvalidArgument with Docker's text where a name has no entry or a number is out of range.
    """
    raise NotImplementedError

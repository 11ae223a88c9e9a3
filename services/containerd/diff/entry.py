"""One entry of a tar archive, and what may be believed of it. Pure."""

from dataclasses import dataclass, field
from typing import Final

from services.containerd.diff import kinds

MAX_NAME: Final = 4096
MAX_SIZE: Final = 1 << 62

class TarError(Exception):
    """The archive is not a well-formed tar archive."""


@dataclass(slots=True)
class Entry:
    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of data in the archive; of a sparse file not its size."""
    mtime: int
    """Nanoseconds."""
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    length: int = 0
    """Size of the file once written."""
    extents: list[tuple[int, int]] | None = None
    """Of a sparse file, where its data goes: (offset, bytes)."""


def check(entry: Entry) -> None:
    for name in (entry.name, entry.link):
        if len(name) > MAX_NAME or b"\0" in name:
            raise TarError(f"name {name[:80]!r} is too long or holds a zero byte")
    if not entry.name:
        raise TarError("an entry has no name")
    if entry.kind in (kinds.HARDLINK, kinds.SYMLINK) and not entry.link:
        raise TarError(f"link {entry.name!r} has no target")
    if not (0 <= entry.uid < 2**32 - 1 and 0 <= entry.gid < 2**32 - 1):
        raise TarError(f"owner {entry.uid}:{entry.gid} of {entry.name!r} is out of bounds")
    if not (0 <= entry.major < 2**12 and 0 <= entry.minor < 2**20):
        raise TarError(f"device {entry.major}:{entry.minor} of {entry.name!r} is out of bounds")


def check_extents(entry: Entry) -> None:
    """Extents ascend, lie inside the file, and hold exactly the entry's data."""
    end = total = 0
    for offset, size in entry.extents or ():
        if offset < end or size < 0:
            raise TarError(f"extents of {entry.name!r} overlap or go backwards")
        end, total = offset + size, total + size
    if not end <= entry.length <= MAX_SIZE or total != entry.size:
        raise TarError(f"extents of {entry.name!r} do not fit its size")

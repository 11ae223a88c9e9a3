"""Writes tar archives: ustar headers, with a pax header before them where a value does not fit. Pure."""

import struct
from typing import Final

from services.containerd.diff import kinds
from services.containerd.diff.entry import Entry
from services.containerd.diff.tar import BLOCK

_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_NO_CHECKSUM: Final = b" " * 8
END: Final = bytes(2 * BLOCK)
"""The end of an archive."""


def header(entry: Entry) -> bytes:
    """What precedes an entry's data; times are whole seconds."""
    records = _records(entry)
    if not records:
        return _block(entry, entry.name, entry.link, entry.kind, entry.size)
    text = b"".join(_record(key, value) for key, value in records)
    short = Entry(name=b"", kind=b"x", mode=0, uid=0, gid=0, size=len(text), mtime=0)
    extended = _block(short, _short(b"PaxHeaders.0/" + entry.name.rpartition(b"/")[2]), b"", b"x", len(text))
    size = entry.size if entry.size < 8**11 else 0
    plain = _block(entry, _short(entry.name), _short(entry.link), entry.kind, size)
    return extended + text + padding(len(text)) + plain


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _records(entry: Entry) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    if _too_long(entry.name):
        found.append((b"path", entry.name))
    if _too_long(entry.link):
        found.append((b"linkpath", entry.link))
    if entry.kind == kinds.FILE and entry.size >= 8**11:
        found.append((b"size", b"%d" % entry.size))
    for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if value >= 8**7:
            found.append((key, b"%d" % value))
    if not 0 <= entry.mtime // 10**9 < 8**11:
        found.append((b"mtime", b"%d" % (entry.mtime // 10**9)))
    found.extend((b"SCHILY.xattr." + key.encode(), value) for key, value in sorted(entry.xattrs.items()))
    return found


def _too_long(name: bytes) -> bool:
    return len(name) > 100 or not name.isascii()


def _short(name: bytes) -> bytes:
    """A stand-in for a name that its pax record gives in full."""
    return name.decode("ascii", "replace").encode("ascii", "replace")[:100]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _octal(value: int, width: int) -> bytes:
    """An octal field; zero where it does not fit, for the pax record has it."""
    digits = b"%o" % value if value >= 0 else b"0"
    return (digits if len(digits) < width else b"0").rjust(width - 1, b"0")


def _block(entry: Entry, name: bytes, link: bytes, kind: bytes, size: int) -> bytes:
    fields = (
        name, _octal(entry.mode, 8), _octal(entry.uid, 8), _octal(entry.gid, 8), _octal(size, 12),
        _octal(entry.mtime // 10**9, 12), _NO_CHECKSUM, kind, link, b"ustar\x0000", b"", b"",
        _octal(entry.major, 8), _octal(entry.minor, 8), b"",
    )
    block = _HEADER.pack(*fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]

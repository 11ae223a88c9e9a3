"""The fields of tar headers: octal and base-256 numbers, pax records, tables of extents. Pure."""

from functools import lru_cache
from typing import Final
from zlib import adler32

from services.containerd.diff.entry import MAX_SIZE, Entry, TarError

CHECKSUM: Final = slice(148, 156)


def verify(block: bytes) -> None:
    total = _sum(block[:148]) + _sum(block[156:384]) + _sum(block[384:]) + 8 * 32
    found = number(block[CHECKSUM])
    if found != total:
        signed = total - 256 * sum(byte > 127 for byte in block[: CHECKSUM.start] + block[CHECKSUM.stop :])
        if found != signed:
            raise TarError("a header's checksum is wrong: not a tar archive, or a damaged one")


def _sum(few: bytes) -> int:
    """Of up to 256 bytes: half of an Adler-32, which costs a tenth of a sum in Python."""
    return (adler32(few) & 0xFFFF) - 1


@lru_cache(1024)
def number(text: bytes) -> int:
    """An octal field, or GNU's base-256."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big", signed=False) & ((1 << (8 * len(text) - 1)) - 1)
        return value - (1 << (8 * len(text) - 1)) if text[0] & 0x40 else value
    digits = text.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise TarError(f"{digits!r} is not an octal number")
    return int(digits, 8) if digits else 0


def head(magic: bytes, prefix: bytes, trailer: bytes) -> bytes:
    """What goes before a name, by format: ustar and pax, star, and what Go wrote as GNU's before its release 1.8."""
    if magic.startswith(b"ustar\0"):
        return prefix[: 131 if trailer == b"tar\0" else None].partition(b"\0")[0]
    if magic == b"ustar  \0" and prefix[0]:
        try:
            number(prefix[:12]), number(prefix[12:24])  # the times of GNU's
        except TarError:
            text = prefix.partition(b"\0")[0]
            return text if text.isascii() else b""
    return b""


def decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise TarError(f"{text[:40]!r} is not a decimal number")
    return int(text)


def data_size(block: bytes) -> int:
    size = number(block[124:136])
    if not 0 <= size <= MAX_SIZE:
        raise TarError(f"size {size} of an entry is out of bounds")
    return size


def records(text: bytes) -> dict[str, bytes]:
    """The records of a pax header; those of sparse format 0.0 come many times and are joined into 0.1's map."""
    found: dict[str, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(text):
        space = text.find(b" ", at, at + 20)
        end = at + decimal(text[at:space]) if space > 0 else 0
        if not at < end <= len(text) or text[end - 1 : end] != b"\n":
            raise TarError("a pax header has a malformed record")
        key, equals, value = text[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise TarError("a pax header has a record without a key")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append(value)
        else:
            found[key.decode("utf-8", "surrogateescape")] = value
        at = end
    if sparse:
        found["GNU.sparse.map"] = b",".join(sparse)
    return found


def override(entry: Entry, pax: dict[str, bytes]) -> None:
    """What pax records say instead of the header; an empty one says nothing, as in Docker."""
    for key, value in pax.items():
        if not value:
            continue
        if key == "path":
            entry.name = value
        elif key == "linkpath":
            entry.link = value
        elif key == "size":
            entry.size = decimal(value)
        elif key == "uid":
            entry.uid = decimal(value)
        elif key == "gid":
            entry.gid = decimal(value)
        elif key == "mtime":
            entry.mtime = _time(value)
        elif key.startswith("SCHILY.xattr."):
            entry.xattrs[key.removeprefix("SCHILY.xattr.")] = value


def _time(text: bytes) -> int:
    """Seconds with a fraction, as nanoseconds."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    nanoseconds = decimal(whole.removeprefix(b"-")) * 10**9 + decimal((fraction[:9] or b"0").ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def old_extents(table: bytes) -> list[tuple[int, int]]:
    extents = []
    for at in range(0, len(table), 24):
        if table[at] == 0:
            break
        extents.append((number(table[at : at + 12]), number(table[at + 12 : at + 24])))
    return extents

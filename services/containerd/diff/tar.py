"""Reads tar archives as they stream: ustar, pax, GNU (long names, base-256 numbers, sparse files), v7. Pure.

Names stay bytes. Whatever is malformed, negative or out of bounds is a TarError: nothing is guessed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BLOCK: Final = 512
MAX_META: Final = 1 << 20
"""Bytes that one pax header or long name may have."""
MAX_NAME: Final = 4096
MAX_SIZE: Final = 1 << 62

FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_KINDS: Final = {kind: kind for kind in (FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)} | {
    b"\0": FILE, b"7": FILE, b"S": FILE, b"D": DIRECTORY,
}
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS: Final = bytes(BLOCK)


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


class Reader:
    """Iterate over the entries; `data` gives the bytes of the one at hand, unread ones are skipped."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._at = 0
        self._left = 0
        self._padding = 0
        self._global: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        pax: dict[str, bytes] = {}
        name = link = b""
        while (block := self._next_block()) is not None:
            kind = block[156:157]
            if kind in (b"x", b"X"):
                pax = self._records(block)
            elif kind == b"g":
                self._global.update(self._records(block))
            elif kind == b"L":
                name = self._meta(block).partition(b"\0")[0]
            elif kind == b"K":
                link = self._meta(block).partition(b"\0")[0]
            elif kind == b"V":
                self._skip_data(_size(block))
            else:
                yield self._entry(block, {**self._global, **pax} if self._global else pax, name, link)
                pax, name, link = {}, b"", b""
        if pax or name or link:
            raise TarError("archive ends after an extended header")

    def data(self) -> Iterator[memoryview]:
        """The bytes of the entry at hand, in pieces that are valid until the next one is asked for."""
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield piece

    def rest(self) -> Iterator[memoryview]:
        """Whatever follows the end of the archive."""
        while self._more():
            yield self._piece(len(self._chunk))

    # Entries

    def _next_block(self) -> bytes | None:
        for _ in self.data():
            pass
        if self._padding:
            self._take(self._padding)
            self._padding = 0
        if not self._more():
            return None
        block = self._take(BLOCK)
        if block == _ZEROS:
            return None
        _verify(block)
        return block

    def _entry(self, block: bytes, pax: dict[str, bytes], long_name: bytes, long_link: bytes) -> Entry:
        name, mode, uid, gid, size, mtime, _, flag, link, magic, _, _, major, minor, prefix = _HEADER.unpack(block)
        kind = _KINDS.get(flag)
        if kind is None:
            raise TarError(f"entry type {flag!r} is not known")
        name = name.partition(b"\0")[0]
        if magic == b"ustar\x0000" and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        entry = Entry(
            name=long_name or name, kind=kind, mode=_number(mode) & 0o7777, uid=_number(uid), gid=_number(gid),
            size=_number(size), mtime=_number(mtime) * 10**9, link=long_link or link.partition(b"\0")[0],
        )
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.major, entry.minor = _number(major), _number(minor)
        if pax:
            _override(entry, pax)
        if kind == FILE and entry.name.endswith(b"/"):
            entry.kind = DIRECTORY
        self._measure(entry, block, pax)
        _check(entry)
        return entry

    def _measure(self, entry: Entry, block: bytes, pax: dict[str, bytes]) -> None:
        """Find out how much data follows and where it goes."""
        if entry.kind != FILE and block[156:157] != b"D":
            entry.size = 0
        if entry.size < 0 or entry.size > MAX_SIZE:
            raise TarError(f"size {entry.size} of {entry.name!r} is out of bounds")
        entry.length = entry.size
        self._left, self._padding = entry.size, -entry.size % BLOCK
        if block[156:157] == b"S":
            self._old_sparse(entry, block)
        elif entry.kind == FILE and pax:
            self._pax_sparse(entry, pax)

    # Sparse files

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        entry.extents = _old_extents(block[386:482])
        entry.length = _number(block[483:495])
        more = block[482]
        while more:
            extension = self._take(BLOCK)
            entry.extents += _old_extents(extension[:504])
            more = extension[504]
            if len(entry.extents) > MAX_META // 24:
                raise TarError(f"{entry.name!r} has too many extents")
        self._left, self._padding = entry.size, -entry.size % BLOCK
        _check_extents(entry)

    def _pax_sparse(self, entry: Entry, pax: dict[str, bytes]) -> None:
        version = (pax.get("GNU.sparse.major"), pax.get("GNU.sparse.minor"))
        if version == (b"1", b"0"):
            entry.length = _decimal(pax.get("GNU.sparse.realsize", b""))
            entry.extents = self._sparse_map(entry)
        elif "GNU.sparse.map" in pax:
            entry.length = _decimal(pax.get("GNU.sparse.size", b""))
            numbers = [_decimal(part) for part in pax["GNU.sparse.map"].split(b",") if part]
            entry.extents = list(zip(numbers[::2], numbers[1::2], strict=False))
        else:
            return
        _check_extents(entry)

    def _sparse_map(self, entry: Entry) -> list[tuple[int, int]]:
        """The map that precedes the data of a pax 1.0 sparse file: decimal lines, padded to a block."""
        text = b""
        lines: list[bytes] = []
        while not lines or len(lines) - 1 < 2 * _decimal(lines[0]):
            if len(text) > MAX_META or entry.size - len(text) < BLOCK:
                raise TarError(f"sparse map of {entry.name!r} is not whole")
            text += self._take(BLOCK)
            lines = text.split(b"\n")[:-1]
        entry.size -= len(text)
        self._left = entry.size
        numbers = [_decimal(line) for line in lines[1 : 1 + 2 * _decimal(lines[0])]]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    # Extended headers

    def _meta(self, block: bytes) -> bytes:
        size = _size(block)
        if size > MAX_META:
            raise TarError(f"an extended header of {size} bytes is too long")
        text = self._take(size)
        self._take(-size % BLOCK)
        return text

    def _records(self, block: bytes) -> dict[str, bytes]:
        text = self._meta(block)
        records: dict[str, bytes] = {}
        at = 0
        while at < len(text):
            space = text.find(b" ", at, at + 20)
            end = at + _decimal(text[at:space]) if space > 0 else 0
            if not at < end <= len(text) or text[end - 1 : end] != b"\n":
                raise TarError("a pax header has a malformed record")
            key, equals, value = text[space + 1 : end - 1].partition(b"=")
            if not equals or not key:
                raise TarError("a pax header has a record without a key")
            _add_record(records, key.decode("utf-8", "surrogateescape"), value)
            at = end
        return records

    def _skip_data(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    # The stream

    def _more(self) -> bool:
        """Whether a byte is left; the end of the stream counts as the end of the archive."""
        while self._at == len(self._chunk):
            following = next(self._chunks, None)
            if following is None:
                return False
            self._chunk, self._at = memoryview(following), 0
        return True

    def _piece(self, most: int) -> memoryview:
        if not self._more():
            raise TarError("archive ends in the middle of an entry")
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end <= len(self._chunk):
            taken = bytes(self._chunk[self._at : end])
            self._at = end
            return taken
        parts = []
        while size:
            piece = self._piece(size)
            parts.append(bytes(piece))
            size -= len(piece)
        return b"".join(parts)


def _verify(block: bytes) -> None:
    total = sum(block) - sum(block[148:156]) + 8 * 32
    found = _number(block[148:156])
    if found != total:
        signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if found != signed:
            raise TarError("a header's checksum is wrong: not a tar archive, or a damaged one")


def _number(text: bytes) -> int:
    """An octal field, or GNU's base-256."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big", signed=False) & ((1 << (8 * len(text) - 1)) - 1)
        return value - (1 << (8 * len(text) - 1)) if text[0] & 0x40 else value
    digits = text.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise TarError(f"{digits!r} is not an octal number")
    return int(digits, 8) if digits else 0


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise TarError(f"{text[:40]!r} is not a decimal number")
    return int(text)


def _size(block: bytes) -> int:
    size = _number(block[124:136])
    if not 0 <= size <= MAX_SIZE:
        raise TarError(f"size {size} of an entry is out of bounds")
    return size


def _add_record(records: dict[str, bytes], key: str, value: bytes) -> None:
    """Keep a record; those of sparse format 0.0 come many times and are joined into 0.1's map."""
    if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
        records["GNU.sparse.map"] = records.get("GNU.sparse.map", b"") + value + b","
    else:
        records[key] = value


def _override(entry: Entry, pax: dict[str, bytes]) -> None:
    for key, value in pax.items():
        if key == "path":
            entry.name = value
        elif key == "linkpath":
            entry.link = value
        elif key == "size":
            entry.size = _decimal(value)
        elif key == "uid":
            entry.uid = _decimal(value)
        elif key == "gid":
            entry.gid = _decimal(value)
        elif key == "mtime":
            entry.mtime = _time(value)
        elif key.startswith("SCHILY.xattr."):
            entry.xattrs[key.removeprefix("SCHILY.xattr.")] = value
    entry.name = pax.get("GNU.sparse.name", entry.name)


def _time(text: bytes) -> int:
    """Seconds with a fraction, as nanoseconds."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    nanoseconds = _decimal(whole.removeprefix(b"-")) * 10**9 + _decimal((fraction[:9] or b"0").ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def _check(entry: Entry) -> None:
    for name in (entry.name, entry.link):
        if len(name) > MAX_NAME or b"\0" in name:
            raise TarError(f"name {name[:80]!r} is too long or holds a zero byte")
    if not entry.name:
        raise TarError("an entry has no name")
    if entry.kind in (HARDLINK, SYMLINK) and not entry.link:
        raise TarError(f"link {entry.name!r} has no target")
    if not (0 <= entry.uid < 2**32 - 1 and 0 <= entry.gid < 2**32 - 1):
        raise TarError(f"owner {entry.uid}:{entry.gid} of {entry.name!r} is out of bounds")
    if not (0 <= entry.major < 2**12 and 0 <= entry.minor < 2**20):
        raise TarError(f"device {entry.major}:{entry.minor} of {entry.name!r} is out of bounds")


def _old_extents(table: bytes) -> list[tuple[int, int]]:
    extents = []
    for at in range(0, len(table), 24):
        if table[at] == 0:
            break
        extents.append((_number(table[at : at + 12]), _number(table[at + 12 : at + 24])))
    return extents


def _check_extents(entry: Entry) -> None:
    """Extents ascend, lie inside the file, and hold exactly the entry's data."""
    end = total = 0
    for offset, size in entry.extents or ():
        if offset < end or size < 0:
            raise TarError(f"extents of {entry.name!r} overlap or go backwards")
        end, total = offset + size, total + size
    if not end <= entry.length <= MAX_SIZE or total != entry.size:
        raise TarError(f"extents of {entry.name!r} do not fit its size")

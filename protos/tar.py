"""Tar headers as data: ustar, GNU and pax, read from 512-byte blocks. Pure: no files, no streams.

Layers, build contexts, `docker cp` and image archives are all tar; what reads or writes one in any service starts
here. Sources: POSIX.1-2017 pax, the GNU tar manual. Who applies an entry decides whether its name is safe.
"""

from dataclasses import dataclass, field, replace
from typing import Final

BLOCK: Final = 512
LONGEST_EXTENSION: Final = 1 << 20
"""Bytes a long name or a set of pax records may have."""

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = "0", "1", "2", "3", "4", "5", "6"
GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = "L", "K", "S"
PAX, PAX_GLOBAL = "x", "g"
_EMPTY: Final = bytes(BLOCK)


class TarError(ValueError):
    """The archive is malformed; the text says how."""


@dataclass(frozen=True, slots=True)
class Header:
    """One entry. `size` is the bytes of data that follow it, padded to BLOCK."""

    name: bytes
    type: str = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: float = 0.0
    """Seconds since the epoch."""
    link: bytes = b""
    user: bytes = b""
    group: bytes = b""
    major: int = 0
    minor: int = 0
    pax: dict[str, bytes] = field(default_factory=dict)

    @property
    def padding(self) -> int:
        return -self.size % BLOCK

    @property
    def is_extension(self) -> bool:
        """Whether its data describes the entry that follows."""
        return self.type in (GNU_LONG_NAME, GNU_LONG_LINK, PAX, PAX_GLOBAL)


def parse(block: bytes) -> Header | None:
    """The header in a block; None for the empty block that ends an archive."""
    if block == _EMPTY:
        return None
    if len(block) != BLOCK:
        raise TarError("truncated header")
    if not _checksum_holds(block):
        raise TarError("header checksum does not match")
    magic = block[257:265]
    name, prefix = _text(block[0:100]), b""
    if magic.startswith(b"ustar\0"):
        prefix = _text(block[345:500])
    kind = chr(block[156]) if block[156] else REGULAR
    if kind == REGULAR and name.endswith(b"/"):
        kind = DIRECTORY
    return Header(
        name=prefix + b"/" + name if prefix else name,
        type=REGULAR if kind == "7" else kind,
        mode=_number(block[100:108], "mode") & 0o7777,
        uid=_number(block[108:116], "uid"),
        gid=_number(block[116:124], "gid"),
        size=_size(block[124:136]),
        mtime=_number(block[136:148], "mtime"),
        link=_text(block[157:257]),
        user=_text(block[265:297]),
        group=_text(block[297:329]),
        major=_number(block[329:337], "devmajor") if magic.startswith(b"ustar") else 0,
        minor=_number(block[337:345], "devminor") if magic.startswith(b"ustar") else 0,
    )


def _text(field_: bytes) -> bytes:
    return field_.split(b"\0", 1)[0]


def _number(field_: bytes, what: str) -> int:
    if field_[0] & 0x80:  # GNU base-256, signed
        value = int.from_bytes(field_, "big")
        bits = 8 * len(field_)
        return value - (1 << bits) if field_[0] & 0x40 else value & ((1 << (bits - 1)) - 1)
    digits = field_.strip(b"\0 ")
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise TarError(f"{what} is not a number: {field_!r}") from error


def _size(field_: bytes) -> int:
    size = _number(field_, "size")
    if size < 0:
        raise TarError(f"size is negative: {size}")
    return size


def _checksum_holds(block: bytes) -> bool:
    stored = _number(block[148:156], "checksum")
    plain = sum(block) - sum(block[148:156]) + 8 * 32
    return stored == plain


def pax_records(data: bytes) -> dict[str, bytes]:
    """The records of a pax header: `<length> <key>=<value>\\n`, each length counting itself."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 21)
        digits = data[at : max(space, at)]
        if not digits.isdigit():
            raise TarError("pax record has no length")
        end = at + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise TarError("pax record is malformed")
        records[key.decode(errors="surrogateescape")] = value
        at = end
    return records


def extended(header: Header, records: dict[str, bytes]) -> Header:
    """A header with what the pax records before it say instead."""
    if not records:
        return header
    changed = replace(
        header,
        name=records.get("path", header.name),
        link=records.get("linkpath", header.link),
        user=records.get("uname", header.user),
        group=records.get("gname", header.group),
        pax=records,
        uid=_pax_number(records, "uid", header.uid),
        gid=_pax_number(records, "gid", header.gid),
        size=_pax_number(records, "size", header.size),
    )
    if "mtime" not in records:
        return changed
    try:
        return replace(changed, mtime=float(records["mtime"]))
    except ValueError as error:
        raise TarError(f"pax mtime is not a number: {records['mtime']!r}") from error


def _pax_number(records: dict[str, bytes], key: str, otherwise: int) -> int:
    if key not in records:
        return otherwise
    if not records[key].isdigit() or len(records[key]) > 20:
        raise TarError(f"pax {key} is not a number: {records[key]!r}")
    return int(records[key])


def encode(header: Header) -> bytes:
    """The blocks of an entry's header, with a pax header before it where ustar has no room for what it says."""
    records = dict(header.pax)
    name, link = header.name, header.link
    if len(name) > 100:
        records["path"], name = name, name[:100]
    if len(link) > 100:
        records["linkpath"], link = link, link[:100]
    fields = {"uid": (header.uid, 8), "gid": (header.gid, 8), "size": (header.size, 12)}
    for key, (value, width) in fields.items():
        if value >= 8 ** (width - 1):
            records[key] = str(value).encode()
    seconds = int(header.mtime // 1)
    if header.mtime != seconds or not 0 <= seconds < 8**11:
        records.setdefault("mtime", f"{header.mtime:.9f}".rstrip("0").rstrip(".").encode())
    block = _block(header, name, link, max(0, seconds) % 8**11)
    if not records:
        return block
    data = encode_pax(records)
    return _block(Header(b"PaxHeaders/" + name[-80:], PAX, size=len(data)), b"PaxHeaders/" + name[-80:], b"", 0) + (
        data + bytes(-len(data) % BLOCK) + block
    )


def encode_pax(records: dict[str, bytes]) -> bytes:
    """Pax records as bytes; each length counts its own digits."""
    out = []
    for key, value in sorted(records.items()):
        body = b" " + key.encode(errors="surrogateescape") + b"=" + value + b"\n"
        length = len(body) + len(str(len(body)))
        length = len(body) + len(str(length))
        out.append(str(length).encode() + body)
    return b"".join(out)


def _block(header: Header, name: bytes, link: bytes, seconds: int) -> bytes:
    before = name.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        header.mode % 8**7, header.uid % 8**7, header.gid % 8**7, header.size % 8**11, seconds % 8**11,
    )
    after = b"".join((
        header.type.encode(), link.ljust(100, b"\0"), b"ustar\x0000", header.user[:31].ljust(32, b"\0"),
        header.group[:31].ljust(32, b"\0"), b"%07o\0%07o\0" % (header.major % 8**7, header.minor % 8**7), bytes(167),
    ))
    checksum = sum(before) + sum(after) + 8 * 32
    return before + b"%06o\0 " % checksum + after

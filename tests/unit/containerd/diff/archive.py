"""Builds tar archives entry by entry, well-formed ones and others."""

import io
import tarfile
from typing import Any


class Builder:
    """Entries by tarfile; `raw` for what tarfile would not write."""

    def __init__(self, form: int = tarfile.PAX_FORMAT) -> None:
        self._form = form
        self.entries = b""

    def add(self, name: str, data: bytes = b"", **fields: Any) -> "Builder":
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in {"mode": 0o644, **fields}.items():
            setattr(info, key, value)
        return self.raw(info.tobuf(self._form) + data + bytes(-len(data) % 512))

    def directory(self, name: str, **fields: Any) -> "Builder":
        return self.add(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **fields})

    def symlink(self, name: str, target: str, **fields: Any) -> "Builder":
        return self.add(name, type=tarfile.SYMTYPE, linkname=target, **fields)

    def hardlink(self, name: str, target: str, **fields: Any) -> "Builder":
        return self.add(name, type=tarfile.LNKTYPE, linkname=target, **fields)

    def device(self, name: str, major: int, minor: int) -> "Builder":
        return self.add(name, type=tarfile.CHRTYPE, devmajor=major, devminor=minor)

    def raw(self, data: bytes) -> "Builder":
        self.entries += data
        return self

    def plain(self) -> bytes:
        return self.entries + bytes(1024)


def header(**fields: Any) -> bytes:
    """A header as fields of bytes at their offsets, with a right checksum."""
    places = {
        "name": 0, "mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "kind": 156, "link": 157,
        "magic": 257, "major": 329, "minor": 337, "prefix": 345, "trailer": 508,
    }
    block = bytearray(512)
    for key, value in {"mode": b"0000644", "kind": b"0", "magic": b"ustar\x0000", **fields}.items():
        at = key if isinstance(key, int) else places[key]
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(records: dict[str, bytes], kind: bytes = b"x") -> bytes:
    """An extended header with these records."""
    text = b""
    for key, value in records.items():
        body = key.encode() + b"=" + value + b"\n"
        length = len(body) + 2
        while len(b"%d " % length) + len(body) != length:
            length += 1
        text += b"%d " % length + body
    return header(name=b"pax", kind=kind, size=b"%011o" % len(text)) + text + bytes(-len(text) % 512)


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()

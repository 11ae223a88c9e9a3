"""What lies on a thin pool's metadata device (drivers/md/dm-thin-metadata.c, persistent-data/dm-btree-internal.h), read
only: which devices the pool has. The kernel tells of one device at a time, and only of one that is active.

The kernel copies what it writes and turns the superblock over last: a tree is whole as long as that stays the same.
"""

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos import errdefs

BLOCK: Final = 4096
SECTOR: Final = 512
_MAGIC: Final = 27022010
_SUPERBLOCK: Final = struct.Struct("<IIQ16sQIIQQ128s128sQQIIQ")
_SPACE: Final = struct.Struct("<QQ")
_NODE: Final = struct.Struct("<IIQIIII")
_DETAILS: Final = struct.Struct("<QQII")
_INTERNAL: Final = 1
_TRIES: Final = 20
_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class Thin:
    mapped: int
    """Bytes of the pool that are mapped into the device, its own or shared."""
    transaction: int
    """That the pool was at when the device was made."""


@dataclass(frozen=True, slots=True)
class Contents:
    transaction: int
    block: int
    """Bytes that are given out at once."""
    used: int
    """Bytes of the data device that are given out."""
    devices: dict[int, Thin]


class Metadata:
    """A metadata device, or the file of one, while it is open."""

    def __init__(self, place: Path) -> None:
        block = stat.S_ISBLK(place.stat().st_mode)
        self._place = place
        # What the kernel writes there passes the page cache of a device by.
        self._file = os.open(place, os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if block else 0))
        self._buffer = mmap.mmap(-1, BLOCK)

    def close(self) -> None:
        os.close(self._file)
        self._buffer.close()

    def contents(self) -> Contents:
        """DataLoss where it is damaged; once more where the pool has gone on meanwhile."""
        for _ in range(_TRIES):
            before = self._read(0)
            try:
                found, damage = self._contents(before), ""
            except _Damaged as error:
                damage = str(error)
            if self._read(0) == before:
                if damage:
                    raise errdefs.DataLoss(f"metadata of the thin pool on {self._place}: {damage}: see thin_check(8)")
                return found
        raise errdefs.Unavailable(f"the thin pool on {self._place} changes too fast to be looked at")

    def _contents(self, superblock: bytes) -> Contents:
        fields = _SUPERBLOCK.unpack_from(superblock)
        magic, transaction, space, details, sectors = fields[4], fields[7], fields[9], fields[12], fields[13]
        if magic != _MAGIC:
            raise _Damaged("it has no superblock")
        size = sectors * SECTOR
        devices = {
            key: Thin(_DETAILS.unpack(value)[0] * size, _DETAILS.unpack(value)[1])
            for key, value in self._leaves(details, _DEPTH)
        }
        return Contents(transaction, size, _SPACE.unpack_from(space)[1] * size, devices)

    def _leaves(self, number: int, depth: int) -> Iterator[tuple[int, bytes]]:
        """Keys and values below a node of the tree of devices."""
        node = self._read(number)
        _, flags, own, count, most, width, _ = _NODE.unpack_from(node)
        values = _NODE.size + most * 8
        internal = flags & _INTERNAL
        wanted = 8 if internal else _DETAILS.size
        if own != number or count > most or values + most * width > BLOCK or width != wanted or not depth:
            raise _Damaged(f"block {number} is no part of the tree of devices")
        for index in range(count):
            key = int.from_bytes(node[_NODE.size + index * 8 :][:8], "little")
            value = node[values + index * width :][:width]
            if internal:
                yield from self._leaves(int.from_bytes(value, "little"), depth - 1)
            else:
                yield key, value

    def _read(self, number: int) -> bytes:
        try:
            length = os.preadv(self._file, [self._buffer], number * BLOCK)
        except OverflowError:
            length = 0
        if length != BLOCK:
            raise _Damaged(f"block {number} lies beyond its end")
        return self._buffer[:]


class _Damaged(Exception):
    """What is read makes no sense."""

"""The device-mapper ioctl (include/uapi/linux/dm-ioctl.h), encoded and decoded: header, targets, messages. Pure."""

import struct
from dataclasses import dataclass
from typing import Final

from protos import errdefs

CONTROL: Final = "/dev/mapper/control"
SECTOR: Final = 512

VERSION, DEV_CREATE, DEV_REMOVE, DEV_SUSPEND, DEV_STATUS = 0, 3, 4, 6, 7
TABLE_LOAD, TABLE_STATUS, TARGET_MSG = 9, 12, 14

SUSPEND: Final = 1 << 1
STATUS_TABLE: Final = 1 << 4
ACTIVE_PRESENT: Final = 1 << 5
BUFFER_FULL: Final = 1 << 8
NOFLUSH: Final = 1 << 11
DEFERRED_REMOVE: Final = 1 << 17

HANDS_OFF: Final = (0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40) << 16
"""The number of an event for udev's rules alone (libdevmapper.h, DM_UDEV_*): no links, no probing, no other rules, now
and at later events. A link that udev takes away late would be that of the next device of the name; a probe holds it."""

_HEADER: Final = struct.Struct("=3I2IIiIIIQ128s129s7x")
_TARGET: Final = struct.Struct("=QQiI16s")
_MESSAGE: Final = struct.Struct("=Q")
_INTERFACE: Final = (4, 27, 0)
"""The oldest version that has all we ask for (deferred removal); a newer kernel answers an older caller."""
_NAME_BYTES: Final = 127


@dataclass(frozen=True, slots=True)
class Target:
    """One line of a table; of a status, `text` is what the target says of itself."""

    length: int
    kind: str
    text: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    version: tuple[int, int, int]
    flags: int
    open_count: int
    device: tuple[int, int]
    targets: tuple[Target, ...]


def request_code(number: int) -> int:
    """_IOWR(0xfd, number, struct dm_ioctl)."""
    return 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | number


def encode(
    name: str, flags: int = 0, payload: bytes = b"", targets: int = 0, room: int = 0, event: int = 0
) -> bytearray:
    """The buffer of a call, with `room` bytes for what comes back."""
    raw = name.encode()
    if len(raw) > _NAME_BYTES:
        raise errdefs.InvalidArgument(f"name of a device-mapper device is longer than {_NAME_BYTES} bytes: {name}")
    size = _HEADER.size + max(len(payload), room)
    # The kernel takes a device's number in place of its name only where there is no name.
    header = _HEADER.pack(*_INTERFACE, size, _HEADER.size, targets, 0, flags, event, 0, 0, raw, b"")
    return bytearray((header + payload).ljust(size, b"\0"))


def encode_target(target: Target) -> bytes:
    """A table of one target, as the kernel wants it: padded to eight bytes, `next` counted from its own start."""
    text = target.text.encode() + b"\0"
    text += bytes(-(_TARGET.size + len(text)) % 8)
    size = _TARGET.size + len(text)
    return _TARGET.pack(target.start, target.length, 0, size, target.kind.encode()) + text


def encode_message(text: str) -> bytes:
    """A message to the target at sector 0."""
    return _MESSAGE.pack(0) + text.encode() + b"\0"


def decode(buffer: bytes) -> Reply:
    (*version, _, start, count, open_count, flags, _, _, device, _, _) = _HEADER.unpack_from(buffer)
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    targets = _targets(buffer, start, count)
    return Reply((version[0], version[1], version[2]), flags, open_count, (major, minor), targets)


def _targets(buffer: bytes, start: int, count: int) -> tuple[Target, ...]:
    """Of a reply `next` is counted from the start of all targets."""
    found, at = [], start
    for _ in range(count):
        begin, length, _, following, kind = _TARGET.unpack_from(buffer, at)
        text = buffer[at + _TARGET.size : buffer.index(b"\0", at + _TARGET.size)]
        found.append(Target(length, kind.rstrip(b"\0").decode(), text.decode(errors="replace"), begin))
        at = start + following
    return tuple(found)

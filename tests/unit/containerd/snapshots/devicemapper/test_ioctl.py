"""The ioctl's bytes, against the offsets of the kernel's header."""

import struct

import pytest

from protos import errdefs
from services.containerd.snapshots.devicemapper import ioctl
from services.containerd.snapshots.devicemapper.ioctl import Target


def test_request_codes_are_the_kernels() -> None:
    assert ioctl.request_code(ioctl.VERSION) == 0xC138FD00
    assert ioctl.request_code(ioctl.TARGET_MSG) == 0xC138FD0E


def test_header_has_its_fields_in_place() -> None:
    buffer = ioctl.encode("pool", ioctl.SUSPEND, b"payload", 1, 1000)
    assert len(buffer) == 312 + 1000
    assert struct.unpack_from("=3I", buffer) == (4, 27, 0)
    assert struct.unpack_from("=4I", buffer, 12) == (1312, 312, 1, 0)
    assert struct.unpack_from("=I", buffer, 28) == (ioctl.SUSPEND,)
    assert buffer[48:53] == b"pool\0"
    assert buffer[312:320] == b"payload\0"


def test_long_names_are_refused() -> None:
    assert len(ioctl.encode("n" * 127)) == 312
    with pytest.raises(errdefs.InvalidArgument, match="longer than 127"):
        ioctl.encode("n" * 128)


def test_target_is_padded() -> None:
    raw = ioctl.encode_target(Target(2048, "thin", "253:0 7"))
    assert struct.unpack_from("=QQiI16s", raw) == (0, 2048, 0, len(raw), b"thin".ljust(16, b"\0"))
    assert len(raw) % 8 == 0
    assert raw[40:48] == b"253:0 7\0"


def test_message_is_for_sector_zero() -> None:
    assert ioctl.encode_message("delete 5") == bytes(8) + b"delete 5\0"


def test_reply_tells_device_and_targets() -> None:
    buffer = ioctl.encode("n", payload=bytes(200))
    struct.pack_into("=3I2IIiIIIQ", buffer, 0, 4, 47, 0, len(buffer), 312, 2, 3, ioctl.ACTIVE_PRESENT, 0, 0, 0x1000FD05)
    struct.pack_into("=QQiI16s", buffer, 312, 0, 8, 0, 64, b"linear")
    buffer[352:359] = b"7:0 16\0"
    struct.pack_into("=QQiI16s", buffer, 312 + 64, 8, 16, 0, 128, b"error")
    reply = ioctl.decode(bytes(buffer))
    assert (reply.version, reply.open_count, reply.flags) == ((4, 47, 0), 3, ioctl.ACTIVE_PRESENT)
    assert reply.device == (253, 0x10005)
    assert reply.targets == (Target(8, "linear", "7:0 16"), Target(16, "error", "", 8))

import gzip
import json
import struct
import zlib

import pytest

from services.shim.logger.packet import Entry
from services.shim.logger.sinks import gelf


def test_messages_are_graylogs() -> None:
    target = gelf.Gelf({"gelf-address": "udp://127.0.0.1:1"}, "host", {"_tag": "t"})
    assert json.loads(target._message(Entry("stderr", 1_500_999_999, "ä".encode()))) == {
        "version": "1.1", "host": "host", "short_message": "ä", "timestamp": 1.5, "level": 3, "_tag": "t",
    }


def test_compression() -> None:
    assert gzip.decompress(gelf.compress(b"x", "gzip", 1)) == b"x" == zlib.decompress(gelf.compress(b"x", "zlib", 9))
    assert gelf.compress(b"x", "none", -1) == b"x"


def test_long_messages_go_in_chunks() -> None:
    data = bytes(range(256)) * 20
    found = list(gelf.chunks(data, b"identity"))
    heads = [struct.unpack(">2s8sBB", each[:12]) for each in found]
    assert heads == [(b"\x1e\x0f", b"identity", number, len(found)) for number in range(len(found))]
    assert b"".join(each[12:] for each in found) == data and max(map(len, found)) == 1420
    assert list(gelf.chunks(b"short", b"identity")) == [b"short"]


def test_too_many_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="msg too large, would need 129 chunks"):
        list(gelf.chunks(bytes(1408 * 128 + 1), b"identity"))

"""The `gelf` driver: Graylog's messages, compressed and in chunks over UDP, each ended by a zero byte over TCP."""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Final

from services.shim.logger.packet import Entry
from services.shim.logger.sinks.address import parse
from services.shim.logger.sinks.endpoint import Endpoint, Patience

_PORT: Final = 12201
_MAGIC: Final = b"\x1e\x0f"
_CHUNK: Final = Struct(">2s8sBB")
_CHUNK_SIZE: Final = 1420
"""Of a datagram, so that it fits a frame."""
_MOST: Final = 128
_ERROR, _INFO = 3, 6


class Gelf:
    """`fields` stand beside each line, their names with Graylog's underscore before them."""

    def __init__(self, options: Mapping[str, str], host: str, fields: Mapping[str, str]) -> None:
        self.reason = ""
        scheme, address = parse(options["gelf-address"], _PORT)
        self._datagrams = scheme == "udp"
        patience = Patience() if self._datagrams else Patience(
            int(options.get("gelf-tcp-max-reconnect") or 3), float(options.get("gelf-tcp-reconnect-delay") or 1)
        )
        self._endpoint = Endpoint(address, patience)
        self._place = address.place
        self._kind = options.get("gelf-compression-type") or "gzip"
        self._level = int(options.get("gelf-compression-level") or 1)
        self._host = host
        self._fields = dict(fields)

    def open(self) -> None:
        try:
            self._endpoint.open()
        except OSError as error:
            raise OSError(f"gelf: cannot connect to GELF endpoint: {self._place} {error}") from error

    def send(self, entries: Sequence[Entry]) -> int:
        lost = 0
        if self._datagrams:
            for entry in entries:
                lost += self._send_datagrams(self._message(entry)) if entry.line else 0
        else:
            lost = self._endpoint.send([self._message(each) + b"\0" for each in entries if each.line])
            self._note_failure()
        return lost

    def _message(self, entry: Entry) -> bytes:
        document = {
            "version": "1.1", "host": self._host, "short_message": entry.line.decode("utf-8", "replace"),
            "timestamp": entry.time // 10**6 / 1000, "level": _ERROR if entry.stream == "stderr" else _INFO,
        }
        return json.dumps(document | self._fields, separators=(",", ":"), ensure_ascii=False).encode()

    def _send_datagrams(self, message: bytes) -> int:
        try:
            datagrams = list(chunks(compress(message, self._kind, self._level), os.urandom(8)))
        except ValueError as error:
            self.reason = str(error)
            return 1
        if self._endpoint.send(datagrams):
            self._note_failure()
            return 1
        return 0

    def _note_failure(self) -> None:
        self.reason = f"gelf: cannot send GELF message: {self._endpoint.reason}"


def compress(message: bytes, kind: str, level: int) -> bytes:
    if kind == "none":
        return message
    return zlib.compress(message, level) if kind == "zlib" else gzip.compress(message, level, mtime=0)


def chunks(data: bytes, identity: bytes) -> Iterator[bytes]:
    """Datagrams for one message; ValueError where there would be too many."""
    if len(data) <= _CHUNK_SIZE:
        yield data
        return
    size = _CHUNK_SIZE - _CHUNK.size
    number = -(-len(data) // size)
    if number > _MOST:
        raise ValueError(f"msg too large, would need {number} chunks")
    for index in range(number):
        yield _CHUNK.pack(_MAGIC, identity, index, number) + data[index * size : (index + 1) * size]

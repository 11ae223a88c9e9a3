"""The `fluentd` driver: the forward protocol, one message an entry, confirmed where `fluentd-request-ack` asks for it.

A sink that is gone is tried again with growing pauses, practically for ever, as Docker does it: the container waits
then, unless `fluentd-async` is set or the mode is non-blocking.
"""

import base64
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgpack

from services.shim.logger.options import ASYNC, truth
from services.shim.logger.packet import Entry
from services.shim.logger.sinks.address import parse
from services.shim.logger.sinks.endpoint import Address, Endpoint, Patience
from services.shim.logger.spans import seconds

_PORT: Final = 24224
_DIAL: Final = 3.0
_FOREVER: Final = 2**31 - 1
_GROWTH: Final = 1.5
_ADDRESS: Final = f"tcp://127.0.0.1:{_PORT}"


class Fluentd:
    """`fields` stand beside each line."""

    def __init__(self, options: Mapping[str, str], tag: str, fields: Mapping[str, str]) -> None:
        self.reason = ""
        text = options.get("fluentd-address") or _ADDRESS
        scheme, address = parse(text if "://" in text else "tcp://" + text, _PORT)
        self._endpoint = Endpoint(address, _patience(options), _secure(scheme, address), dial=_DIAL)
        self._endpoint.write_seconds = seconds(options.get("fluentd-write-timeout") or "0s") or None
        self._tag, self._fields = tag, dict(fields)
        self._fine = _chosen(options, "fluentd-sub-second-precision")
        self._ask = _chosen(options, "fluentd-request-ack")
        self._asynchronous = any(_chosen(options, name) for name in ASYNC)
        self._acknowledged = msgpack.Unpacker()

    def open(self) -> None:
        if not self._asynchronous:
            self._endpoint.open()

    def send(self, entries: Sequence[Entry]) -> int:
        identities = [base64.b64encode(os.urandom(16)).decode() if self._ask else "" for _ in entries]
        messages = [self._message(*each) for each in zip(entries, identities, strict=True)]
        lost = self._endpoint.send(
            messages, (lambda start, end: self._confirm(identities[start:end])) if self._ask else None
        )
        self.reason = self._endpoint.reason
        return lost

    def _message(self, entry: Entry, identity: str) -> bytes:
        record = {"source": entry.stream, "log": entry.line.decode("utf-8", "surrogateescape"), **self._fields}
        if piece := entry.piece:
            record |= {
                "partial_message": "true", "partial_id": piece.id, "partial_ordinal": str(piece.ordinal),
                "partial_last": "true" if piece.last else "false",
            }
        second, rest = divmod(entry.time, 10**9)
        at: Any = msgpack.ExtType(0, second.to_bytes(4, "big") + rest.to_bytes(4, "big")) if self._fine else second
        option = {"chunk": identity} if identity else None
        packed: bytes = msgpack.packb([self._tag, at, record, option], unicode_errors="surrogateescape")
        return packed

    def _confirm(self, identities: Sequence[str]) -> None:
        """One answer a message; OSError where another comes."""
        wanted = set(identities)
        while wanted:
            for answer in self._acknowledged:
                wanted.discard(answer.get("ack"))
            if not wanted:
                return
            try:
                self._acknowledged.feed(self._endpoint.receive(4096))
            except OSError:
                self._acknowledged = msgpack.Unpacker()
                raise


def _secure(scheme: str, address: Address) -> Callable[[socket.socket], socket.socket] | None:
    if scheme != "tls":
        return None
    from services.shim.logger.sinks import secure

    return secure.trusted(address.host)


def _patience(options: Mapping[str, str]) -> Patience:
    return Patience(
        int(options.get("fluentd-max-retries") or _FOREVER), seconds(options.get("fluentd-retry-wait") or "1s"), _GROWTH
    )


def _chosen(options: Mapping[str, str], name: str) -> bool:
    return truth(name, options.get(name) or "false")

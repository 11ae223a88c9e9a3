"""The `syslog` driver: RFC 3164, RFC 5424 and the BSD way of local sockets, over UDP, TCP, TLS and unix sockets."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from services.shim.logger.packet import Entry
from services.shim.logger.sinks.address import parse
from services.shim.logger.sinks.endpoint import Address, Endpoint

_PORT: Final = 514
_LOCAL: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
)
_DAEMON: Final = 3
_ERROR, _INFO = 3, 6

Format = Callable[[int, int, bytes], bytes]
"""A message of priority, moment and line."""


class Syslog:
    """Sends with one new try for what fails; what fails again is not taken."""

    def __init__(self, options: Mapping[str, str], tag: str, pid: int) -> None:
        self.reason = ""
        scheme, self._endpoints = _endpoints(options)
        self._endpoint = self._endpoints[0]
        self._facility = facility(options.get("syslog-facility", "")) << 3
        name = options.get("syslog-format", "")
        self._format = formatter(name, socket.gethostname(), tag, pid)
        self._counted = scheme == "tcp+tls" and name.startswith("rfc5424")

    def open(self) -> None:
        for endpoint in self._endpoints:
            try:
                endpoint.open()
            except OSError:
                if len(self._endpoints) == 1:
                    raise
            else:
                self._endpoint = endpoint
                return
        raise OSError("Unix syslog delivery error")

    def send(self, entries: Sequence[Entry]) -> int:
        messages = [self._message(each) for each in entries if each.line]
        lost = self._endpoint.send(messages)
        self.reason = self._endpoint.reason
        return lost

    def _message(self, entry: Entry) -> bytes:
        priority = self._facility | (_ERROR if entry.stream == "stderr" else _INFO)
        message = self._format(priority, time.time_ns(), entry.line + b"\n")
        return b"%d %s" % (len(message), message) if self._counted else message


def _endpoints(options: Mapping[str, str]) -> tuple[str, list[Endpoint]]:
    """Scheme and the endpoints to try; without an address those of a local syslog daemon."""
    text = options.get("syslog-address", "")
    if not text:
        return "unix", [Endpoint(Address(kind, path)) for kind in ("unixgram", "unix") for path in _LOCAL]
    scheme, address = parse(text, _PORT)
    if scheme != "tcp+tls":
        return scheme, [Endpoint(address)]
    from services.shim.logger.sinks import secure

    return scheme, [Endpoint(address, secure=secure.syslog(address.host, options))]


def facility(text: str) -> int:
    """The number of a facility; dockerd has refused what is none."""
    if not text:
        return _DAEMON
    if text in _FACILITIES:
        return _FACILITIES.index(text)
    return 16 + int(text.removeprefix("local")) if text.startswith("local") else int(text)


def formatter(name: str, host: str, tag: str, pid: int) -> Format:
    own, tag_, host_ = str(pid).encode(), tag.encode(), host.encode()

    def local(priority: int, now: int, line: bytes) -> bytes:
        return b"<%d>%s %s[%s]: %s" % (priority, _stamp(now), tag_, own, line)

    def old(priority: int, now: int, line: bytes) -> bytes:
        return b"<%d>%s %s %s[%s]: %s" % (priority, _stamp(now), host_, tag_, own, line)

    def new(priority: int, now: int, line: bytes) -> bytes:
        return b"<%d>1 %s %s %s %s %s - %s" % (priority, _rfc3339(now, micro), host_, tag_, own, tag_, line)

    micro = name == "rfc5424micro"
    return {"": local, "rfc3164": old}.get(name, new)


def _stamp(now: int) -> bytes:
    at = time.localtime(now // 10**9)
    return f"{time.strftime('%b', at)} {at.tm_mday:2} {time.strftime('%H:%M:%S', at)}".encode()


def _rfc3339(now: int, micro: bool) -> bytes:
    at = time.localtime(now // 10**9)
    fraction = f".{now % 10**9 // 1000:06}" if micro else ""
    zone = time.strftime("%z", at)
    ahead = "Z" if at.tm_gmtoff == 0 else f"{zone[:3]}:{zone[3:]}"
    return (time.strftime("%Y-%m-%dT%H:%M:%S", at) + fraction + ahead).encode()



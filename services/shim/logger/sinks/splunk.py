"""The `splunk` driver: events for Splunk's HTTP event collector, several in one request."""

import gzip
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, urlsplit

from services.shim.logger.options import truth
from services.shim.logger.packet import Entry
from services.shim.logger.sinks import proxy
from services.shim.logger.sinks.endpoint import DIAL_SECONDS, Address, dial_text

EVENTS: Final = 1000
"""The most in one request."""
_PATH: Final = "/services/collector/event/1.0"
_PORTS: Final = {"http": 80, "https": 443}
_DELAYS: Final = (0.0, 1.0, 2.0)
"""Seconds before each further try."""
_ANSWER_SECONDS: Final = 30.0
_ANSWER: Final = 1024
"""Bytes of an answer that are told."""


class Splunk:
    """`attributes` stand beside each line; ValueError in Docker's words for options that cannot be."""

    def __init__(self, options: Mapping[str, str], tag: str, host: str, attributes: Mapping[str, str]) -> None:
        self.reason = ""
        self._url = _url(options.get("splunk-url"))
        if "splunk-token" not in options:
            raise ValueError("splunk: splunk-token is expected")
        self._headers = {"Authorization": f"Splunk {options['splunk-token']}"}
        self._address = Address.of("tcp", self._url.hostname or "", self._url.port or _PORTS[self._url.scheme])
        self._proxy = proxy.of(self._url.scheme, self._url.netloc)
        self._secure = _secured(self._url, options)
        relayed = self._proxy is not None and self._secure is None
        self._target = self._url.geturl() if relayed else _PATH
        self._shown = self._proxy.headers if self._proxy is not None and relayed else {}
        self._headers |= self._shown
        self._level = _level(options)
        if self._level is not None:
            self._headers["Content-Encoding"] = "gzip"
        if _truth(options, "splunk-index-acknowledgment"):
            self._headers["X-Splunk-Request-Channel"] = secrets.token_hex(32)
        self._verify = _truth(options, "splunk-verify-connection", "true")
        names = ("source", "sourcetype", "index")
        self._about = {"host": host} | {name: text for name in names if (text := options.get(f"splunk-{name}"))}
        self._event = _former(options.get("splunk-format") or "inline", tag, attributes)
        self._connection: http.client.HTTPConnection | None = None

    def open(self) -> None:
        if not self._verify:
            return
        status, text = self._ask("OPTIONS", b"")
        if status != HTTPStatus.OK:
            raise OSError(f"splunk: failed to verify connection - {_told(status)} - {text}")

    def send(self, entries: Sequence[Entry]) -> int:
        events = [event for entry in entries if (event := self._message(entry))]
        for start in range(0, len(events), EVENTS):
            if not self._posted("".join(events[start : start + EVENTS]).encode()):
                return len(events) - start
        return 0

    def _message(self, entry: Entry) -> str:
        event = self._event(entry)
        about = json.dumps({"time": f"{entry.time / 1e9:.6f}", **self._about}, ensure_ascii=False)
        return f'{{"event":{event},{about[1:]}' if event else ""

    def _posted(self, body: bytes) -> bool:
        if self._level is not None:
            body = gzip.compress(body, self._level, mtime=0)
        for delay in (*_DELAYS, None):
            try:
                status, text = self._ask("POST", body)
                if status == HTTPStatus.OK:
                    return True
                self.reason = f"splunk: failed to send event - {_told(status)} - {text}"
            except OSError as error:
                self.reason = str(error)
            if delay is not None:
                time.sleep(delay)
        return False

    def _ask(self, method: str, body: bytes) -> tuple[int, str]:
        """Status and the beginning of the answer; OSError where there is none."""
        try:
            connection = self._connection = self._connection or self._connected()
            connection.request(method, self._target, body, self._headers if body else self._shown)
            answer = connection.getresponse()
            text = answer.read(_ANSWER).decode(errors="replace")
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._close()
            where = f'{method.capitalize()} "{self._url.geturl()}"'
            raise OSError(f"{where}: {self._problem(error)}") from error
        if answer.will_close:
            self._close()
        return answer.status, text.strip()

    def _problem(self, error: Exception) -> str:
        if not isinstance(error, OSError):
            return str(error) or "EOF"
        if self._proxy is None:
            return dial_text(self._address, error)
        return f"proxyconnect tcp: {dial_text(self._proxy.address, error)}"

    def _connected(self) -> http.client.HTTPConnection:
        near = self._address if self._proxy is None else self._proxy.address
        connection = http.client.HTTPConnection(near.host, near.port, timeout=DIAL_SECONDS)
        if self._proxy is not None and self._secure is not None:
            connection.set_tunnel(self._address.host, self._address.port, self._proxy.headers)
        connection.connect()
        if self._secure is not None:
            connection.sock = self._secure(connection.sock)
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _url(text: str | None) -> SplitResult:
    if text is None:
        raise ValueError("splunk: splunk-url is expected")
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # raises where it is none
    except ValueError as error:
        raise ValueError(f"splunk: failed to parse {text} as url value in splunk-url") from error
    if url.scheme not in _PORTS or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("splunk: expected format scheme://dns_name_or_ip:port for splunk-url")
    return url._replace(path=_PATH)


def _secured(url: SplitResult, options: Mapping[str, str]) -> Callable[[socket.socket], socket.socket] | None:
    blind = _truth(options, "splunk-insecureskipverify")
    if url.scheme != "https":
        return None
    from services.shim.logger.sinks import secure

    name = options.get("splunk-caname") or url.hostname or ""
    return secure.by(name, options.get("splunk-capath") or "", blind=blind)


def _level(options: Mapping[str, str]) -> int | None:
    """Of compression; None without."""
    on = _truth(options, "splunk-gzip")
    text = options.get("splunk-gzip-level", "-1")
    try:
        level = int(text)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -1 <= level <= 9:
        problem = f"not supported level '{text}' for splunk-gzip-level (supported values between -1 and 9)"
        raise ValueError(f"splunk: {problem}")
    return level if on else None


def _truth(options: Mapping[str, str], name: str, default: str = "false") -> bool:
    return truth(name, options.get(name) or default)


def _told(status: int) -> str:
    return f"{status} {http.client.responses.get(status, '')}".strip()


Former = Callable[[Entry], str]
"""An entry's event as JSON; "" for a line that is none."""


def _former(kind: str, tag: str, attributes: Mapping[str, str]) -> Former:
    """Lines as strings beside their source, as JSON where they are JSON, or bare behind tag and attributes."""
    if kind not in ("inline", "json", "raw"):
        raise ValueError(f"unknown format specified {kind}, supported formats are inline, json and raw")
    if kind == "raw":
        words = [tag] if tag else []
        prefix = "".join(f"{each} " for each in (*words, *(f"{name}={attributes[name]}" for name in attributes)))
        return lambda entry: json.dumps(prefix + _text(entry), ensure_ascii=False) if entry.line.strip() else ""
    beside = {**({"tag": tag} if tag else {}), **({"attrs": dict(attributes)} if attributes else {})}

    def event(entry: Entry) -> str:
        line = _as_json(entry) if kind == "json" else json.dumps(_text(entry), ensure_ascii=False)
        return f'{{"line":{line},{json.dumps({"source": entry.stream, **beside}, ensure_ascii=False)[1:]}'

    return event


def _text(entry: Entry) -> str:
    return entry.line.decode("utf-8", "replace")


def _as_json(entry: Entry) -> str:
    """The line as it stands, where it is JSON."""
    text = _text(entry)
    try:
        json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    return text


def _refused(text: str) -> None:
    raise ValueError(f"{text} is not JSON")

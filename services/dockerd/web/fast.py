"""Answers before the router: `_ping`, and what is kept encoded (the engine's list of containers).

A request seen before, byte for byte, is answered without parsing it again.
"""

import functools
from collections.abc import Callable
from typing import Final

from services.dockerd.release import NEWEST, OLDEST, Version
from services.dockerd.web import heads

Answer = Callable[[], bytes | None]
Source = Callable[[Version, str], bytes | None]
"""The JSON body for an API version and a query string, or None to leave the request to the router."""

REMEMBERED: Final = 256
"""Requests known by their bytes; all are forgotten when there are more."""
MAX_REMEMBERED_SIZE: Final = 1024

_PING: Final = (
    (b"builder-version", b"1"),
    (b"cache-control", b"no-cache, no-store, must-revalidate"),
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"pragma", b"no-cache"),
    (b"swarm", b"inactive"),
)
_ACCEPTED: Final = {b"GET": ("GET", b"OK"), b"HEAD": ("HEAD", b"")}


class Fast:
    """`find` for a parsed request without a body, `known` for one whose bytes were found before."""

    def __init__(
        self, always: bytes, oldest: Version = OLDEST, barred: Callable[[], object] = lambda: False
    ) -> None:
        self.always = always
        self.barred = barred
        """True while everything has to go to the application, since plugins are asked about it there."""
        self.oldest = oldest
        """The lowest version that is served."""
        self.sources: dict[str, Source] = {}
        """By path without version. Asked in the event loop at every request: must not wait."""
        self.known: dict[bytes, Answer] = {}

    def beside(self) -> "Fast":
        """Another with the same sources, which remembers requests of its own."""
        made = Fast(self.always, self.oldest, self.barred)
        made.sources = self.sources
        return made

    def find(self, method: bytes, target: bytes) -> Answer | None:
        """What answers this request, or None if the router has to."""
        if method not in _ACCEPTED:
            return None
        path, _, query = target.decode("latin-1").partition("?")
        version, path = split(path)
        if version is None or version < self.oldest:
            return None
        if path == "/_ping":
            return functools.partial(self._ping, _ACCEPTED[method][1])
        source = self.sources.get(path) if method == b"GET" else None
        return functools.partial(self._answer, source, version, query) if source else None

    def remember(self, request: bytes, answer: Answer) -> None:
        """Let the same bytes be answered without parsing; only for a whole request that leaves its connection open."""
        if len(request) <= MAX_REMEMBERED_SIZE:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[request] = answer

    def _ping(self, body: bytes) -> bytes | None:
        if self.barred():
            return None
        length = (b"content-length", str(len(body)).encode())
        return heads.reply(200, (*_PING, length), self.always) + body

    def _answer(self, source: Source, version: Version, query: str) -> bytes | None:
        body = None if self.barred() else source(version, query)
        if body is None:
            return None
        headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
        return heads.reply(200, headers, self.always) + body


def split(path: str) -> tuple[Version | None, str]:
    """Version and bare path of `/v1.41/info`; the newest for `/info`, None for a version that is not served."""
    if not path.startswith("/v1."):
        return NEWEST, path
    digits, slash, rest = path[4:].partition("/")
    if not digits.isdecimal() or not slash or len(digits) > 3:
        return None, path
    version = (1, int(digits))
    return (version if OLDEST <= version <= NEWEST else None), "/" + rest

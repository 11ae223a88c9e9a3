"""One plugin, activated, and the calls to it. A call that hangs, or finds nobody, concerns whoever made it alone.

Only connecting is tried again: a request that was sent may have been carried out.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from protos.errdefs import DeadlineExceeded, Unavailable, Unknown
from services.dockerd.plugins.discovery import Place

log = logging.getLogger("plugins")

PATIENCE: Final = 30.0
"""Seconds within which somebody must begin to listen."""
TIMEOUT: Final = 120.0
"""Seconds of one call, unless the caller says otherwise."""


def pause(retries: int, elapsed: float, patience: float = PATIENCE) -> float | None:
    """Seconds to wait before the next try: 1, 2, 4, 8 …; None once it would end after `patience` (pure)."""
    wait = float(min(1 << min(retries, 10), PATIENCE))
    return wait if elapsed + wait <= patience else None


@dataclass(frozen=True, slots=True)
class Plugin:
    """`place` it listens at, and what it `implements` (VolumeDriver, authz, NetworkDriver …)."""

    place: Place
    implements: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.place.name

    async def call(
        self, method: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """The reply's document. Unknown with the plugin's own `Err`, DeadlineExceeded, Unavailable."""
        document = await self.ask(method, arguments, timeout=timeout, patience=patience)
        if problem := document.get("Err"):
            raise Unknown(str(problem))
        return document

    async def ask(
        self, method: str, arguments: Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """As `call`, for protocols in which `Err` is a field like others."""
        # Go's encoder ends a document with a newline, and sends none for no arguments.
        body = b"" if arguments is None else json.dumps(arguments).encode() + b"\n"
        status, reply = await exchange(self.place, method, body, timeout=timeout, patience=patience)
        return _document(method, status, reply)


async def exchange(place: Place, method: str, body: bytes, *, timeout: float, patience: float) -> tuple[int, bytes]:
    """Status and bytes of a reply to `method`."""
    import h11  # with wire.py: nobody without plugins pays for it

    from services.dockerd.plugins import wire

    streams = None
    try:
        streams = await _connect(place, method, timeout, patience)
        async with asyncio.timeout(timeout):
            return await wire.post(place, streams, method, body)
    except TimeoutError as error:
        doing = "does not answer" if streams else "cannot be reached"
        raise DeadlineExceeded(f"{_where(place, method)}: the plugin {doing} within {timeout:g} s") from error
    except (OSError, ValueError, h11.RemoteProtocolError) as error:
        doing = "" if streams else f"dial {_dialled(place)}: connect: "
        raise Unavailable(f"{_where(place, method)}: {doing}{_reason(error)}") from error


async def _connect(place: Place, method: str, timeout: float, patience: float) -> Any:
    from services.dockerd.plugins import wire

    start, retries = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(timeout):
                return await wire.connect(place)
        except TimeoutError:
            raise
        except OSError as error:
            wait = pause(retries, time.monotonic() - start, patience)
            if wait is None:
                raise
            log.warning("unable to connect to plugin name=%s method=%s error=%s retry=%gs",
                        place.name, method, error, wait)
            retries += 1
            await asyncio.sleep(wait)


def _where(place: Place, method: str) -> str:
    return f'Post "{place.address}/{method}"'


def _dialled(place: Place) -> str:
    scheme, _, rest = place.address.partition("://")
    return f"unix {rest}" if scheme == "unix" else f"tcp {urlsplit(place.address).netloc}"


def _reason(error: Exception) -> str:
    """In the system's words alone: Python adds numbers, addresses and paths, which are named already."""
    if isinstance(error, ConnectionError | FileNotFoundError | PermissionError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)


def _document(method: str, status: int, reply: bytes) -> dict[str, Any]:
    try:
        document = json.loads(reply) if reply.strip() else {}
    except ValueError as error:
        if status == 200:
            raise Unknown(f"{method}: the plugin's reply is not JSON: {error}") from error
        document = None
    if status != 200:
        told = document.get("Err") if isinstance(document, dict) else None
        raise Unknown(f"{method}: {told or reply.decode(errors='replace').strip()}")
    if document is not None and not isinstance(document, dict):
        raise Unknown(f"{method}: the plugin's reply is not an object")
    return document or {}

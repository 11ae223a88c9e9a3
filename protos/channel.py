"""Channels over unix sockets: namespace header, default deadline, errors of `protos.errdefs`.

Unary calls get DEADLINE unless the caller gives one; calls that live long (Wait, Subscribe) pass `timeout=None`
explicitly through `call`. Creating a channel initialises gRPC's core: never before a fork.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from grpc import aio

from protos import errdefs
from protos.log import REQUEST, request_var

log = logging.getLogger("rpc")

DEADLINE: Final = 60.0
"""Seconds an ordinary call may take."""

MAX_MESSAGE: Final = 16 << 20
OPTIONS: Final = [
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # Otherwise pings after each message measure the bandwidth. A wide window does for a unix socket.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
]
_CHANNEL_OPTIONS: Final = [
    *OPTIONS,
    ("grpc.default_authority", "localhost"),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]

_UNSENT: Final = "failed to connect to all addresses"
_CUT: Final = ("Socket closed", "Connection reset", "Broken pipe", "recvmsg:", "sendmsg:", "Stream removed", "GOAWAY",
               "Connection refused", "End of TCP stream")
"""How gRPC's core puts it; no server of ours says so."""

Reply = TypeVar("Reply")


class Unreachable(errdefs.Unavailable):
    """Nobody listens: the call was not made, and may be made again."""


class Cut(errdefs.Unavailable):
    """The server ended before it answered: what came of the call is not known."""


def error_of(error: aio.AioRpcError) -> errdefs.EngineError:
    """The class of `protos.errdefs` for a failed call; losses of the connection by classes of their own."""
    code, details = error.code().value[0], error.details() or ""
    if code == errdefs.Unavailable.code:
        if details.startswith(_UNSENT):
            return Unreachable(details)
        if any(word in details for word in _CUT):
            return Cut(details)
    return errdefs.from_grpc(code, details)


def open_channel(path: str) -> aio.Channel:
    """A channel to the server that listens on the unix socket `path`; connects at its first call."""
    return aio.insecure_channel(f"unix://{path}", options=_CHANNEL_OPTIONS)


def metadata(namespace: str, lease: str = "") -> tuple[tuple[str, str], ...]:
    """Headers of a call inside `namespace`, holding what it creates by `lease` if given, for the request under way."""
    headers: tuple[tuple[str, str], ...] = (("containerd-namespace", namespace),)
    if lease:
        headers = (*headers, ("containerd-lease", lease))
    return (*headers, (REQUEST, request)) if (request := request_var.get()) else headers


async def call(
    method: Callable[..., Awaitable[Reply]],
    request: object,
    namespace: str,
    *,
    lease: str = "",
    timeout: float | None = DEADLINE,
) -> Reply:
    """One unary call; a failed one raises the class of `protos.errdefs` that its status stands for."""
    begin = time.perf_counter()
    try:
        reply = await method(request, metadata=metadata(namespace, lease), timeout=timeout)
    except aio.AioRpcError as error:
        raise error_of(error) from error
    if log.isEnabledFor(logging.DEBUG):
        name = bytes(getattr(method, "_method", b"")).decode()
        log.debug("called method=%s ms=%.2f", name, (time.perf_counter() - begin) * 1e3)
    return reply

"""Unary gRPC calls to one shim over a unix socket, in asyncio; `protos.unary` speaks the wire.

A grpc.aio channel for each shim would cost several times the time and the memory.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from protos import errdefs
from protos.log import REQUEST, request_var
from protos.unary import Caller

log = logging.getLogger("shim")

Reply = TypeVar("Reply", bound=Message)


class Connection(asyncio.Protocol):
    """Opened by `connect`. A call without a timeout waits as long as the connection lives."""

    def __init__(self) -> None:
        self._caller = Caller()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._transport: asyncio.Transport | None = None

    @property
    def closed(self) -> bool:
        return bool(self._caller.closed)

    async def call(
        self, path: str, request: Message, reply: Callable[[], Reply], timeout: float | None, namespace: str
    ) -> Reply:
        """One call; raises the error that its status stands for, Unavailable where the shim is gone."""
        headers = [("containerd-namespace", namespace)]
        if request_id := request_var.get():
            headers.append((REQUEST, request_id))
        stream = self._caller.call(path, request.SerializeToString(), timeout, headers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[stream] = answer
        self._flush()
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                message = await answer
            log.debug("shim called method=%s ms=%.2f", path, (time.perf_counter() - begin) * 1e3)
        except TimeoutError as error:
            self._give_up(stream)
            raise errdefs.DeadlineExceeded(f"{path} was not answered in {timeout:g} s") from error
        except asyncio.CancelledError:
            self._give_up(stream)
            raise
        return _parse(message, reply())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _give_up(self, stream: int) -> None:
        self._waiting.pop(stream, None)
        self._caller.cancel(stream)
        self._flush()

    def _flush(self) -> None:
        if self._transport is not None and (data := self._caller.take()):
            self._transport.write(data)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        for answer in self._caller.receive(data):
            waiting = self._waiting.pop(answer.stream, None)
            if waiting is None or waiting.done():
                continue
            try:
                waiting.set_result(answer.result())
            except errdefs.EngineError as error:
                waiting.set_exception(error)
        self._flush()
        if self.closed:
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self.data_received(b"")
        self._transport = None


def _parse(message: bytes, reply: Reply) -> Reply:
    try:
        reply.ParseFromString(message)
    except DecodeError as error:
        raise errdefs.Internal(f"the shim's answer is no {reply.DESCRIPTOR.full_name}: {error}") from error
    return reply


async def connect(path: str) -> Connection:
    """Raises OSError: ConnectionRefusedError or FileNotFoundError where no shim listens."""
    _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, path)
    return connection

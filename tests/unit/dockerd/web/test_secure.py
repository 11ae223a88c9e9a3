"""TLS as a transport, against Python's own client: handshake, both half-closes, floods, and those who speak no TLS."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.dockerd import certificates
from services.dockerd.config import Config
from services.dockerd.web.secure import Secure
from tests.harness.certs import Authority, authority
from tests.unit.dockerd.waiting import until

FLOOD = bytes(range(256)) * 8192


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = authority(tmp_path_factory.mktemp("ca"))
    made.server()
    made.client()
    return made


class Server(asyncio.Protocol):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.seen = b""
        self.ended = self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Client:
    """A TLS client that ends each direction by itself, as Go's do: over memory buffers, the socket being its own."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, self.outgoing.read())

    async def fill(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.incoming.write(data)
        return bool(data)

    async def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                return await self.flush()
            except ssl.SSLWantReadError:
                await self.flush()
                if not await self.fill():
                    raise ConnectionResetError("no handshake") from None

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
            await self.flush()

    async def end(self) -> None:
        """close_notify, and no more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()

    async def receive(self) -> bytes:
        """Some bytes; none once the other side has said close_notify; EOFError where it has only gone."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                if not await self.fill():
                    raise EOFError from None

    async def rest(self) -> bytes:
        seen = bytearray()
        while data := await self.receive():
            seen += data
        return bytes(seen)


def trusting(signed: Authority, *, shown: bool = True, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(signed.ca))
    if shown:
        mine = signed.directory / "clientAuth-client"
        made.load_cert_chain(mine / "cert.pem", mine / "key.pem")
    if version:
        made.maximum_version = version
    return made


def serving(signed: Authority) -> ssl.SSLContext:
    files = signed.directory / "serverAuth-server"
    made = certificates.context(
        Config(tlsverify=True, tlscacert=str(signed.ca), tlscert=str(files / "cert.pem"), tlskey=str(files / "key.pem"))
    )
    assert made
    return made


@contextlib.asynccontextmanager
async def pair(signed: Authority, context: ssl.SSLContext) -> AsyncIterator[tuple[Client, Server, Secure]]:
    server = Server()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    loop = asyncio.get_running_loop()
    factory = functools.partial(Secure, serving(signed), lambda: server)
    _, secure = await loop.connect_accepted_socket(factory, theirs)
    client = Client(mine, context)
    async with asyncio.timeout(30):
        try:
            await client.shake()
            yield client, server, secure
        finally:
            secure.abort()
            mine.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_direction_ends_by_itself(signed: Authority, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed, version=version)) as (client, server, _):
            await client.send(b"last words")
            await client.end()
            await until(lambda: server.ended)
            assert server.seen == b"last words"
            server.transport.write(b"still answered")
            server.transport.write_eof()
            assert await client.rest() == b"still answered"

    asyncio.run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_comes_after_our_end_is_read(signed: Authority, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed, version=version)) as (client, server, _):
            await client.send(b"a")
            await until(lambda: bool(server.seen))
            server.transport.write_eof()
            assert await client.receive() == b""
            await client.send(b"bc" * 40000)
            await client.end()
            await until(lambda: server.ended)
            assert server.seen == b"a" + b"bc" * 40000

    asyncio.run(main())


def test_a_flood_passes_both_ways(signed: Authority) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed)) as (client, server, _):
            await until(lambda: hasattr(server, "transport"))
            server.transport.write(FLOOD)
            sending = asyncio.ensure_future(client.send(FLOOD))
            seen = b""
            while len(seen) < len(FLOOD):
                seen += await client.receive()
            await sending
            await until(lambda: len(server.seen) == len(FLOOD))
            assert seen == server.seen == FLOOD

    asyncio.run(main())


def test_a_connection_that_is_cut_has_not_ended(signed: Authority) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed)) as (client, server, _):
            await client.send(b"half a ")
            await until(lambda: bool(server.seen))
            client.sock.close()
            await until(lambda: server.lost)
            assert not server.ended

    asyncio.run(main())


def test_what_is_no_tls_ends_the_connection(signed: Authority) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed)) as (client, server, secure):
            await client.send(b"x")
            await until(lambda: bool(server.seen))
            await asyncio.get_running_loop().sock_sendall(client.sock, b"no record of TLS" * 10)
            await until(lambda: server.lost)
            server.transport.write(b"to nobody")
            assert secure.is_closing() and server.seen == b"x"

    asyncio.run(main())


def test_closing_says_so_and_delivers(signed: Authority) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed)) as (client, server, secure):
            await client.send(b"x")
            await until(lambda: bool(server.seen))
            server.transport.write(FLOOD)
            server.transport.close()
            assert secure.is_closing()
            assert await client.rest() == FLOOD
            await until(lambda: server.lost)

    asyncio.run(main())


def test_who_shows_no_certificate_is_refused(signed: Authority) -> None:
    async def main() -> None:
        context = trusting(signed, shown=False, version=ssl.TLSVersion.TLSv1_2)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with pair(signed, context):
                pass

    asyncio.run(main())


def test_the_clients_name_is_known(signed: Authority) -> None:
    async def main() -> None:
        async with pair(signed, trusting(signed)) as (client, server, _):
            await client.send(b"x")
            await until(lambda: bool(server.seen))
            subject = server.transport.get_extra_info("peercert")["subject"]
            assert (("commonName", "client"),) in subject

    asyncio.run(main())


def test_plain_http_is_told_what_is_wrong(signed: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        mine, theirs = socket.socketpair()
        factory = functools.partial(Secure, serving(signed), Server)
        await asyncio.get_running_loop().connect_accepted_socket(factory, theirs)
        reader, writer = await asyncio.open_connection(sock=mine)
        writer.write(b"GET /_ping HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(10):
            said = await reader.read()
        assert said.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert said.endswith(b"Client sent an HTTP request to an HTTPS server.\n")
        writer.close()

    asyncio.run(main())

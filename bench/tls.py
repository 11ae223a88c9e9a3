"""What TLS costs: engines that listen on a port with certificates, measured as metrics.py measures the others."""

import contextlib
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.client import Client
from bench.metrics import Metric, containers
from tests.harness.certs import Authority, authority
from tests.harness.engine import Engine

PORT = 2376
SIZE = 256 << 20


@contextlib.contextmanager
def flags() -> Iterator[list[str]]:
    """What dockerd is started with; the client's own files lie in `FILES` meanwhile."""
    with tempfile.TemporaryDirectory() as directory:
        FILES[:] = [authority(Path(directory))]
        server = FILES[0].server()
        FILES[0].client()
        yield ["-H", f"tcp://127.0.0.1:{PORT}", "--tlsverify", f"--tlscacert={FILES[0].ca}",
               f"--tlscert={server}/cert.pem", f"--tlskey={server}/key.pem"]


FILES: list[Authority] = []


def context() -> ssl.SSLContext:
    mine = FILES[0].directory / "clientAuth-client"
    made = ssl.create_default_context(cafile=str(FILES[0].ca))
    made.load_cert_chain(mine / "cert.pem", mine / "key.pem")
    return made


def connect(engine: Engine, trust: ssl.SSLContext) -> ssl.SSLSocket:
    sock = engine.network.connect("127.0.0.1", PORT)
    sock.settimeout(120)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as every client has it
    return trust.wrap_socket(sock, server_hostname="localhost")


def over(engine: Engine, trust: ssl.SSLContext) -> Client:
    return Client(str(engine.socket), connect(engine, trust))


def ping(engine: Engine) -> float:
    api = over(engine, context())
    begin = time.perf_counter()
    for _ in range(2000):
        api("GET", "/_ping")
    elapsed = time.perf_counter() - begin
    api.close()
    return 2000 / elapsed


def handshake(engine: Engine) -> float:
    """Seconds of a new connection with one ping over it."""
    trust = context()
    begin = time.perf_counter()
    for _ in range(50):
        api = over(engine, trust)
        api("GET", "/_ping")
        api.close()
    return (time.perf_counter() - begin) / 50


def stream(engine: Engine) -> float:
    """Bytes a second that a container's output comes through `attach`."""
    command = ("dd", "if=/dev/zero", "bs=65536", f"count={SIZE >> 16}")
    with containers(engine, 1, False, *command, HostConfig={"LogConfig": {"Type": "none"}}) as (one,):
        sock, api = connect(engine, context()), Client(str(engine.socket))
        with contextlib.closing(sock), contextlib.closing(api), ThreadPoolExecutor(1) as pool:
            sock.sendall(
                f"POST /v1.41/containers/{one}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                "Upgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
            )
            assert b" 101 " in sock.recv(65536)
            begin = time.perf_counter()
            started = pool.submit(api.expect, 204, "POST", f"/containers/{one}/start")
            seen, buffer = 0, bytearray(1 << 18)
            while count := sock.recv_into(buffer):
                seen += count
            elapsed = time.perf_counter() - begin
            started.result()
    assert seen >= SIZE, seen
    return seen / elapsed / 1e6


TABLE = (
    Metric("tls_ping", "GET /_ping over TLS, one connection", "/s", ping, 1.0, larger=True),
    Metric("tls_connect", "TLS handshake and one ping", "s", handshake, 1.2),
    Metric("tls_stream", "a container's output by attach over TLS", "MB/s", stream, 1.0, larger=True, rounds=3),
)

"""Splunk's collector behind a proxy."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.shim.logger.packet import Entry
from services.shim.logger.sinks import proxy
from services.shim.logger.sinks.splunk import Splunk
from tests.harness import certs

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HOST = "splunk.example:8088"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def head(sock: socket.socket) -> list[str]:
    """Lines of a request without a body, or with one that comes in the same piece."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    return data.partition(b"\r\n\r\n")[0].decode().split("\r\n")


@contextmanager
def served(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a proxy that talks with one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def accept() -> None:
            with suppress(OSError), listener.accept()[0] as sock:
                talk(sock)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def sink(scheme: str, **options: str) -> Iterator[Splunk]:
    given = {f"splunk-{name}": value for name, value in options.items()}
    made = Splunk({"splunk-url": f"{scheme}://{HOST}", "splunk-token": "secret", **given}, "t", "host", {})
    try:
        yield made
    finally:
        made._close()


def test_plain_requests_name_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def talk(sock: socket.socket) -> None:
        for _ in range(2):
            seen.append(head(sock))
            sock.sendall(ANSWER)

    with served(talk) as address:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@{address}")
        with sink("http") as splunk:
            splunk.open()
            assert splunk.send([Entry("stdout", 1, b"x")]) == 0
    url = f"http://{HOST}/services/collector/event/1.0"
    assert [lines[0] for lines in seen] == [f"OPTIONS {url} HTTP/1.1", f"POST {url} HTTP/1.1"]
    assert all({f"Host: {HOST}", "Proxy-Authorization: Basic bWU6cEBzcw=="} <= set(lines) for lines in seen)
    assert "Authorization: Splunk secret" in seen[1]


def test_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = certs.authority(tmp_path)
    place = authority.server("DNS:splunk.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "cert.pem", place / "key.pem")
    seen: list[list[str]] = []

    def talk(sock: socket.socket) -> None:
        seen.append(head(sock))
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(sock, server_side=True) as secured:
            seen.append(head(secured))
            secured.sendall(ANSWER)

    with served(talk) as address:
        monkeypatch.setenv("https_proxy", f"me:secret@{address}")
        with sink("https", capath=str(authority.ca)) as splunk:
            splunk.open()
    assert seen[0][0].startswith(f"CONNECT {HOST} HTTP/1.") and "Proxy-Authorization: Basic bWU6c2VjcmV0" in seen[0]
    assert seen[1][0] == "OPTIONS /services/collector/event/1.0 HTTP/1.1" and f"Host: {HOST}" in seen[1]
    assert not any("Proxy-Authorization" in line for line in seen[1])


def test_a_tunnel_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with served(talk) as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        refused = pytest.raises(OSError, match=r"proxyconnect tcp: .*407 Proxy Authentication Required")
        with sink("https") as splunk, refused:
            splunk.open()


def test_a_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("HTTP_PROXY", address)
    problem = f"proxyconnect tcp: dial tcp {address}: connect: connection refused"
    with sink("http") as splunk, pytest.raises(OSError, match=problem):
        splunk.open()


def test_who_is_exempt_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "p:1")
    monkeypatch.setenv("NO_PROXY", ".example")
    assert proxy.of("https", HOST) is None and proxy.of("https", "a.other") is not None


def test_other_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://p:1")
    with pytest.raises(ValueError, match="socks5://p is not supported"), sink("http"):
        pass

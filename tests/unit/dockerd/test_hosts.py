"""Addresses of -H."""

import pytest

from services.dockerd.hosts import parse


@pytest.mark.parametrize(
    ("text", "plain", "secure"),
    [
        ("", "unix:///var/run/docker.sock", "tcp://localhost:2376"),
        ("unix://", "unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("unix:///a/b.sock", "unix:///a/b.sock", "unix:///a/b.sock"),
        (" /a/b.sock ", "unix:///a/b.sock", "unix:///a/b.sock"),
        ("tcp://", "tcp://localhost:2375", "tcp://localhost:2376"),
        ("tcp://:99", "tcp://localhost:99", "tcp://localhost:99"),
        ("tcp://0.0.0.0", "tcp://0.0.0.0:2375", "tcp://0.0.0.0:2376"),
        ("tcp://[::1]:5", "tcp://[::1]:5", "tcp://[::1]:5"),
        ("tcp://[::1]", "tcp://[::1]:2375", "tcp://[::1]:2376"),
        ("box.example:7", "tcp://box.example:7", "tcp://box.example:7"),
        ("fd://", "fd://", "fd://"),
        ("fd://*", "fd://", "fd://"),
        ("fd://3", "fd://3", "fd://3"),
        ("fd://docker.socket", "fd://docker.socket", "fd://docker.socket"),
    ],
)
def test_an_address_is_completed(text: str, plain: str, secure: str) -> None:
    assert str(parse(text)) == plain
    assert str(parse(text, secure=True)) == secure


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ftp://x", "invalid bind address (ftp://x): unsupported proto 'ftp'"),
        ("tcp://a:1/path", "invalid bind address (tcp://a:1/path): should not contain a path element"),
        ("tcp://a:b", "invalid bind address (tcp://a:b): invalid port: b"),
        ("tcp://a:65536", "invalid bind address (tcp://a:65536): invalid port: 65536"),
        ("tcp://::1:5", "invalid bind address (tcp://::1:5): invalid host: ::1"),
        ("tcp://a b:5", "invalid bind address (tcp://a b:5): invalid host: a b"),
        ("unix://tcp://x", "invalid bind address (unix://tcp://x): invalid unix address: tcp://x"),
        ("unix://a.sock", "invalid bind address (unix://a.sock): the path of a unix socket must be absolute"),
    ],
)
def test_other_addresses_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(text)
    assert str(refused.value) == problem

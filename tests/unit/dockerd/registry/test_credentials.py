"""`X-Registry-Auth`."""

import base64
import json

import pytest

from services.dockerd.registry.credentials import Credentials, header
from services.dockerd.registry.login import domain_of

DOCUMENT = json.dumps({"username": "a", "password": "b?>", "serveraddress": "s"}).encode()


@pytest.mark.parametrize(
    "text",
    [
        base64.urlsafe_b64encode(DOCUMENT).decode(),
        base64.urlsafe_b64encode(DOCUMENT).decode().rstrip("="),
        base64.b64encode(DOCUMENT).decode(),
    ],
)
def test_every_base64_is_read(text: str) -> None:
    assert header(text) == Credentials("a", "b?>", server="s")


def test_nobody() -> None:
    assert not header("") and not header(base64.b64encode(b"{}").decode())


def test_name_and_password_in_one() -> None:
    document = json.dumps({"auth": base64.b64encode(b"a:b:c").decode()}).encode()
    assert header(base64.b64encode(document).decode()) == Credentials("a", "b:c")


@pytest.mark.parametrize("text", ["x", "%%%", *map(base64.b64encode, (b"nonsense", b"[1]", b"null"))])
def test_nonsense_is_nobody(text: str | bytes) -> None:
    assert header(text if isinstance(text, str) else text.decode()) == Credentials()


@pytest.mark.parametrize(
    ("server", "domain"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://reg.example/v2/", "reg.example"),
        ("notdocker.io.example", "notdocker.io.example"),
    ],
)
def test_where_a_login_goes(server: str, domain: str) -> None:
    assert domain_of(server) == domain

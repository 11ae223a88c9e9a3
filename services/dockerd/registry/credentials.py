"""What a client sends to be known by a registry: `X-Registry-Auth` and the body of `/auth`. Pure."""

import base64
import binascii
import json
import logging
from dataclasses import dataclass
from typing import Any

from protos.errdefs import InvalidArgument

log = logging.getLogger("registry")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Empty fields are not known. `identity` is a refresh token, `token` one to show as it is."""

    username: str = ""
    password: str = ""
    identity: str = ""
    token: str = ""
    server: str = ""

    def __bool__(self) -> bool:
        return bool(self.username or self.identity or self.token)

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, server={self.server!r})"  # secrets stay out of logs


def of(document: Any) -> Credentials:
    """Credentials from Docker's AuthConfig; InvalidArgument for another shape."""
    if not isinstance(document, dict):
        raise InvalidArgument("invalid X-Registry-Auth header: it is not a JSON object")
    names = {"username": "username", "password": "password", "identity": "identitytoken", "token": "registrytoken"}
    values = {field: str(document.get(key) or "") for field, key in names.items()}
    if (auth := document.get("auth")) and not values["username"]:
        values["username"], _, values["password"] = _decode(str(auth)).partition(":")
    return Credentials(**values, server=str(document.get("serveraddress") or ""))


def header(text: str) -> Credentials:
    """The header's base64url, padded or not, standard alphabet too. An empty one is nobody, and as Docker has it one
    that cannot be read: many registries serve anybody, and those that do not say so."""
    try:
        return of(json.loads(_decode(text) or "{}") or {})
    except (ValueError, RecursionError, InvalidArgument) as error:
        log.info("X-Registry-Auth is not readable error=%s", error)
        return Credentials()


def _decode(text: str) -> str:
    plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidArgument(f"invalid X-Registry-Auth header: {error}") from error

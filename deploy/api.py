"""What the docker client has no command for, asked of an engine over its socket. Standard library only."""

import http.client
import os
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

_DEFAULT: Final = "unix:///var/run/docker.sock"


class Refused(Exception):
    """The engine's words."""


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def host(words: Sequence[str]) -> str:
    """The engine that the docker client would talk to with these options."""
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word in ("-H", "--host"):
            return value
        if word.startswith(("-H=", "--host=")):
            return word.partition("=")[2]
    return os.environ.get("DOCKER_HOST") or _DEFAULT


def name_by_digest(words: Sequence[str], known: Sequence[tuple[str, str]]) -> None:
    """Let images be known by the names that a registry's digests gave them; `known`: such a name, the image's id."""
    address = host(words)
    if not address.startswith("unix://"):
        raise Refused(f"names by digest are only given over a unix socket, not to {address}")
    connection = _Unix(address.removeprefix("unix://"))
    for text, image in known:
        repository, _, digest = text.partition("@")
        path = f"/images/{quote(image)}/tag?repo={quote(repository, safe='')}&digest={quote(digest)}"
        connection.request("POST", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            raise Refused(f"{text}: {body.decode(errors='replace').strip()}")
    connection.close()

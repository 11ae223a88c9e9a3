"""Image references: `[domain/]path[:tag][@digest]`, and the short forms people type. Pure.

Grammar and texts are those of the distribution project's reference package; `busybox` means
`docker.io/library/busybox:latest`.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from protos.errdefs import InvalidArgument

DEFAULT_DOMAIN: Final = "docker.io"
_LEGACY_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_LONGEST_NAME: Final = 255

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = re.compile(rf"{_HOST}(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_CLASS = re.compile(r"(\^?)((?:[\w.:@/*?+-](?:-[\w.:@/])?)+)\]", re.ASCII)
_FULL_ID = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name; `tag` and `digest` are empty where the reference has none."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """`docker.io/library/busybox`: the repository, without tag or digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: `busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The reference as people write it: `busybox:latest`."""
        return self.familiar_name + self._rest

    def __str__(self) -> str:
        return self.name + self._rest

    @property
    def _rest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self) -> "Reference":
        """The same, with `latest` where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")


def parse(text: str) -> Reference:
    """A name as people type it; InvalidArgument with Docker's text otherwise. A bare image ID is refused."""
    if _FULL_ID.fullmatch(text):
        raise InvalidArgument(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise InvalidArgument("invalid reference format")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise InvalidArgument("invalid reference format")
    domain, path = _split_domain(head + slash + last)
    if path.lower() != path:
        raise InvalidArgument(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise InvalidArgument("invalid reference format")
    if len(path) > _LONGEST_NAME:
        raise InvalidArgument(f"repository name must not be more than {_LONGEST_NAME} characters")
    return Reference(domain, path, tag, digest)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    named = slash and (any(sign in first for sign in ".:") or first == "localhost" or first.lower() != first)
    domain, path = (first, rest) if named else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` and 64 hex digits."""
    return text.startswith("sha256:") and _FULL_ID.fullmatch(text[7:]) is not None


def is_prefix(text: str) -> bool:
    """Whether `text` may stand for the beginning of an image ID."""
    return re.fullmatch(r"(sha256:)?[a-f0-9]{1,64}", text) is not None


def matches(reference: Reference, pattern: str) -> bool:
    """Docker's `reference` filter: a shell pattern against the familiar form, with or without its tag."""
    expression = re.compile(_glob(pattern))
    return any(expression.fullmatch(form) for form in (reference.familiar, reference.familiar_name))


def _glob(pattern: str) -> str:
    """As Go's path.Match reads it; InvalidArgument for what is no pattern there."""
    out = []
    index = 0
    while index < len(pattern):
        sign = pattern[index]
        index += 1
        if sign == "*":
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        elif sign == "[":
            found = _CLASS.match(pattern, index)
            if found is None:
                raise InvalidArgument("syntax error in pattern")
            out.append(f"[{found[1]}{found[2]}]")
            index = found.end()
        elif sign == "\\":
            if index == len(pattern):
                raise InvalidArgument("syntax error in pattern")
            out.append(re.escape(pattern[index]))
            index += 1
        else:
            out.append(re.escape(sign))
    return "".join(out)

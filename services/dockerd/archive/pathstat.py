"""What `docker cp` is told of a path: Docker's ContainerPathStat, with a file mode in Go's bits."""

import base64
import os
import posixpath
import stat
from typing import Any, Final

import orjson

from services.dockerd.container import stamp

_KINDS: Final = {
    stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFBLK: 1 << 26, stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25, stat.S_IFSOCK: 1 << 24,
}
_SPECIAL: Final = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def absolute(path: str) -> str:
    """The path from the container's root, cleaned, with a trailing `/` or `/.` as it was given."""
    cleaned = posixpath.normpath("/" + path).replace("//", "/")
    if path.endswith("/.") or path == ".":
        return cleaned.rstrip("/") + "/."
    return cleaned.rstrip("/") + "/" if path.endswith("/") else cleaned


def base(path: str) -> str:
    """The last element: "." after `/.`, "/" of the root."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def mode(bits: int) -> int:
    """A file mode as Go encodes it."""
    special = sum(value for bit, value in _SPECIAL.items() if bits & bit)
    return bits & 0o777 | _KINDS.get(stat.S_IFMT(bits), 0) | special


def document(path: str, status: os.stat_result, link_target: str) -> dict[str, Any]:
    return {
        "name": base(path), "size": status.st_size, "mode": mode(status.st_mode),
        "mtime": stamp.exact(status.st_mtime_ns), "linkTarget": link_target,
    }


def header(described: dict[str, Any]) -> str:
    """The value of X-Docker-Container-Path-Stat."""
    return base64.b64encode(orjson.dumps(described)).decode()

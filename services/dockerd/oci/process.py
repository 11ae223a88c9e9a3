"""`process` of a container and of an exec: arguments, environment, identity, capabilities, limits."""

import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci import apparmor, capabilities, security
from services.dockerd.oci.defaults import PATH
from services.dockerd.oci.inputs import ExecInput, SpecInput
from services.dockerd.oci.user import User

Document = dict[str, Any]

_DESCRIPTORS: Final = re.compile(r"/proc/[^/]+(/task/[^/]+)?/(fd|cwd|root|map_files)(/.*)?|/dev/fd(/.*)?")
"""Directories that lead out of a container through a descriptor the runtime holds."""
_UNLIMITED: Final = (1 << 64) - 1
"""What -1 means to the kernel."""


def main(given: SpecInput, args: Sequence[str]) -> Document:
    """The container's first process."""
    config, host = given.config, given.host
    console = (host.ConsoleSize[0], host.ConsoleSize[1]) if len(host.ConsoleSize) == 2 else (0, 0)
    document = _common(given, given.user, privileged=host.Privileged, tty=config.Tty, console=console)
    return document | {
        "args": list(args), "env": environment(given, tty=config.Tty), "cwd": directory(config.WorkingDir),
    }


def added(container: SpecInput, given: ExecInput) -> Document:
    """A further process (exec) of the container."""
    privileged = container.host.Privileged or given.privileged
    if given.cwd and not given.cwd.startswith("/"):  # as runc puts it, to which Docker leaves it
        raise errdefs.InvalidArgument("OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown")
    document = _common(container, given.user, privileged=privileged, tty=given.tty, console=given.console)
    if given.privileged and "apparmorProfile" in document:
        document["apparmorProfile"] = "unconfined"
    return document | {
        "args": list(given.args), "env": environment(container, tty=given.tty, extra=given.env),
        "cwd": directory(given.cwd or container.config.WorkingDir),
    }


def _common(given: SpecInput, user: User, *, privileged: bool, tty: bool, console: tuple[int, int]) -> Document:
    host = given.host
    chosen = security.parse(host.SecurityOpt, no_new_privileges=given.defaults.no_new_privileges)
    document: Document = {
        "terminal": tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional)},
        "capabilities": capabilities.build(
            capabilities.choose(host.CapAdd, host.CapDrop, privileged=privileged), user.uid
        ),
        "noNewPrivileges": chosen.no_new_privileges,
        "oomScoreAdj": host.OomScoreAdj,
    }
    profile = apparmor.choose(chosen.apparmor, privileged=privileged)
    if profile:
        document["apparmorProfile"] = profile
    limits = _rlimits(given)
    if limits:
        document["rlimits"] = limits
    if tty and all(console):
        document["consoleSize"] = {"height": console[0], "width": console[1]}
    return document


def environment(given: SpecInput, *, tty: bool, extra: Sequence[str] = ()) -> list[str]:
    """PATH, HOSTNAME, TERM, links, the container's variables and `extra`; later ones replace, a bare name removes."""
    chosen: dict[str, str | None] = {"PATH": PATH, "HOSTNAME": given.hostname}
    if tty:
        chosen["TERM"] = "xterm"
    for entry in (*given.env, *(given.config.Env or ()), *extra):
        name, assigned, value = entry.partition("=")
        chosen[name] = value if assigned else None
    return [f"{name}={value}" for name, value in chosen.items() if value is not None]


def directory(path: str) -> str:
    """The working directory; InvalidArgument for one that names a descriptor instead of a directory."""
    chosen = posixpath.normpath("/" + path).replace("//", "/")
    if _DESCRIPTORS.fullmatch(chosen):
        raise errdefs.InvalidArgument(f"the working directory '{path}' is invalid, it leads through a file descriptor")
    return chosen


def _rlimits(given: SpecInput) -> list[Document]:
    own = {limit.Name: limit for limit in given.host.Ulimits or ()}
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": limit.Soft & _UNLIMITED, "hard": limit.Hard & _UNLIMITED}
        for name, limit in {**given.defaults.ulimits, **own}.items()
    ]

"""Who holds a host port: the process behind a socket, found in /proc once a bind was refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

LISTEN: Final = "0A"


def describe(protocol: str, port: int) -> str:
    """` (held by nginx, pid 123)`, or "" where that cannot be found out."""
    inodes = set(_inodes(protocol, port))
    for process in Path("/proc").iterdir() if inodes else ():
        if process.name.isdigit() and _holds(process, inodes):
            return f" (held by {_name(process)}, pid {process.name})"
    return ""


def _inodes(protocol: str, port: int) -> Iterator[str]:
    """Inodes of sockets bound to the port: proc_net_tcp's columns."""
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_, = words = line.split()
            if int(local.rpartition(":")[2], 16) == port and (protocol != "tcp" or state == LISTEN):
                yield words[9]


def _holds(process: Path, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(_target(each) in wanted for each in (process / "fd").iterdir())
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"

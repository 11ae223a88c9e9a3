"""The engine's processes as the kernel has them now: dockerd and all below it, and what runs beside it after a crash.

Read from /proc at each call, the containers' names from the engine's memory. Roles: daemon, containerd, shim, zygote,
proxy, container, logger (feeds the sink of a log), helper.
"""

import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from services.dockerd.engine.engine import Engine

NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Node:
    pid: int
    ppid: int
    role: str
    name: str
    """As `ps` shows it, 15 characters."""
    command: str
    container_id: str
    container: str
    namespaces: list[str]
    """Kinds in which the process differs from dockerd."""
    threads: int
    pss: int
    """Bytes; 0 where the kernel does not say."""
    started: float
    """Seconds since the epoch."""
    children: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stat:
    pid: int
    ppid: int
    name: str
    threads: int
    ticks: int
    """Of the clock, from boot to the process's start."""


def read(names: dict[str, str], inits: dict[int, str], roots: Iterable[int]) -> list[Node]:
    """The trees below `roots` (pids). `names`: container id to name; `inits`: pid of a first process to its id."""
    stats = {stat.pid: stat for stat in _stats()}
    below: defaultdict[int, list[int]] = defaultdict(list)
    for stat in stats.values():
        below[stat.ppid].append(stat.pid)
    home = _namespaces(os.getpid())
    boot = _boot()

    def node(pid: int, parent: Node | None) -> Node:
        stat, command = stats[pid], _command(pid)
        contained = pid in inits or (parent is not None and parent.role == "container")
        container = inits.get(pid) or _named(command, names) or (parent.container_id if parent else "")
        made = Node(
            pid, stat.ppid, "container" if contained else _role(stat, command), stat.name, command, container,
            names.get(container, ""), _differing(home, pid), stat.threads, _pss(pid), boot + stat.ticks / _TICKS,
        )
        made.children = [node(each, made) for each in sorted(below[pid])]
        return made

    return [node(pid, None) for pid in dict.fromkeys(roots) if pid in stats]


def of(engine: "Engine") -> list[Node]:
    """Trees of nodes: dockerd's, and that of docker-containerd and of shims where they are not below it."""
    inits = {each.state.pid: each.id for each in engine.containers if each.state.running and each.state.pid}
    names = {each.id: each.name for each in engine.containers}
    us = os.getpid()
    containerd = top(listening(engine.config.containerd_address), us)
    return read(names, inits, [us, containerd, *beside(names, us)])


def _named(command: str, names: dict[str, str]) -> str:
    """The container that a shim's or a proxy's command line names, by its id or as much of it as fitted there."""
    words = [word for word in command.split()[1:] if len(word) >= 12 and _HEX.issuperset(word)]
    return next((known for word in words for known in names if known.startswith(word)), "")


_HEX: Final = frozenset("0123456789abcdef")


def plain(nodes: list[Node]) -> list[dict[str, Any]]:
    return [asdict(node) for node in nodes]


def _stats() -> Iterator[Stat]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))):
            yield stat


def _stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None  # it has ended
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    return Stat(pid, int(fields[1]), text[start + 1 : end], int(fields[17]), int(fields[19]))


def _role(stat: Stat, command: str) -> str:
    words = command.split()
    program = words[0].rpartition("/")[2] if words else stat.name
    if "zygote" in words[1:]:
        return "zygote"
    if program.startswith(("docker-containerd-shim", "containerd-shim")):
        return "shim"
    return _ROLES.get(program, "helper")


_ROLES: Final = {
    "dockerd": "daemon", "docker-containerd": "containerd", "containerd": "containerd", "docker-proxy": "proxy",
    "docker-log": "logger",
}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _namespaces(pid: int) -> dict[str, str]:
    found = {}
    for kind in NAMESPACES:
        try:
            found[kind] = str(Path(f"/proc/{pid}/ns/{kind}").readlink())
        except OSError:
            continue
    return found


def _differing(home: dict[str, str], pid: int) -> list[str]:
    return [kind for kind, name in _namespaces(pid).items() if name != home.get(kind)]


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        return 0
    return 0


def _boot() -> float:
    """When the kernel started, seconds since the epoch."""
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))


def beside(names: dict[str, str], within: int) -> list[int]:
    """Roots of shims and proxies of the containers `names` that are not below `within`: what a crash has orphaned."""
    found: dict[int, None] = {}
    for stat in _stats():
        command = _command(stat.pid)
        if _role(stat, command) in ("shim", "proxy") and _named(command, names):
            found[top(stat.pid, within)] = None
    return [pid for pid in found if pid]


def top(pid: int, within: int) -> int:
    """The ancestor of `pid` that is init's child; 0 where `within` is one of them."""
    while pid > 1:
        if pid == within:
            return 0
        stat = _stat(pid)
        if stat is None or stat.ppid <= 1:
            return pid if stat else 0
        pid = stat.ppid
    return 0


def listening(address: str) -> int:
    """The pid of who listens on a unix socket, 0 for nobody."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
        except OSError:
            return 0

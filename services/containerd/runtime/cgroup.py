"""Killing all that is left in a container's control group when its shim no more can.

Version 2 has `cgroup.kill`; in version 1 the freezer's group is frozen, signalled and thawed.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_VANISH: Final = 1.0
"""Seconds killed processes may take to leave their group."""
_FREEZE: Final = 0.5
"""Seconds a v1 group may take to freeze before it is signalled all the same."""


def of_process(pid: int) -> dict[str, str]:
    """Controllers (comma-separated, "" is v2) and paths of a process's groups; empty where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = [line.split(":", 2) for line in lines]
    return {controllers: path for _, controllers, path in fields}


def find(groups: dict[str, str], configured: str) -> Path | None:
    """The group to kill, of a process's groups and the `cgroupsPath` of its OCI document, a path or for systemd.

    None where it is not known, or holds more than the container: a root, or a group that we are in ourselves.
    """
    unified = (ROOT / "cgroup.controllers").exists()
    controller = "" if unified else "freezer"
    path = _widest(groups.get(controller, ""), as_path(configured))
    own = of_process(os.getpid()).get(controller, "/").rstrip("/") + "/"
    if path.strip("/") == "" or own.startswith(path.rstrip("/") + "/"):
        return None
    return ROOT / controller / path.lstrip("/")


def as_path(configured: str) -> str:
    """The place of `slice:prefix:name`, which systemd gives `<prefix>-<name>.scope` in that slice; paths stay."""
    if configured.startswith("/") or configured.count(":") != 2:
        return configured
    parent, prefix, name = configured.split(":")
    words = (parent or "system.slice").removesuffix(".slice").split("-")
    slices = ["-".join(words[: count + 1]) + ".slice" for count in range(len(words)) if any(words)]
    unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return "/" + "/".join([*slices, unit])


def _widest(actual: str, configured: str) -> str:
    """What the container was given, rather than a group below it that its init moved to."""
    if configured.startswith("/") and (not actual or (actual + "/").startswith(configured.rstrip("/") + "/")):
        return configured
    return actual


def kill(group: Path) -> bool:
    """Kill everything in a group and below it; False where there is no such group."""
    if not group.is_dir():
        return False
    switch = group / "cgroup.kill"
    if switch.exists():
        switch.write_text("1")
        return True
    _freeze(group, "FROZEN")
    for pid in _members(group):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _freeze(group, "THAWED")
    return True


def remove(configured: str, root: Path = ROOT) -> bool:
    """Remove the empty groups of a container whose runtime was killed before it knew of them; False if some stay."""
    configured = as_path(configured)
    if not configured.startswith("/") or configured.strip("/") == "":
        return True
    unified = (root / "cgroup.controllers").exists()
    hierarchies = [root] if unified else [each for each in root.iterdir() if each.is_dir()]
    left = [group for each in hierarchies if (group := each / configured.lstrip("/")).is_dir()]
    deadline = time.monotonic() + _VANISH
    while left and time.monotonic() < deadline:
        left = [group for group in left if not _removed(group)]
        if left:
            time.sleep(0.005)  # what was killed is still ending
    return not left


def _removed(group: Path) -> bool:
    with suppress(FileNotFoundError):
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                return False
    return True


def _members(group: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(group):
        with suppress(FileNotFoundError):
            yield from map(int, (Path(directory) / "cgroup.procs").read_text().split())


def _freeze(group: Path, state: str) -> None:
    """A frozen group cannot fork away from a signal; without a freezer it is signalled as it is."""
    switch = group / "freezer.state"
    with suppress(OSError):
        switch.write_text(state)
        deadline = time.monotonic() + _FREEZE
        while switch.read_text().strip() != state and time.monotonic() < deadline:
            time.sleep(0.001)
            switch.write_text(state)

"""What this kernel and its cgroups can do, read once: the ground of checks, warnings and `docker info`."""

import functools
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Facts:
    """Named as Docker's sysinfo; cgroup version 1 or 2."""

    cgroup_version: int
    memory_limit: bool = False
    swap_limit: bool = False
    memory_reservation: bool = False
    memory_swappiness: bool = False
    oom_kill_disable: bool = False
    cpu_shares: bool = False
    cpu_cfs: bool = False
    cpu_realtime: bool = False
    cpuset: bool = False
    cpus: str = ""
    """CPUs a container may be pinned to, as the kernel lists them."""
    mems: str = ""
    blkio_weight: bool = False
    blkio_weight_device: bool = False
    blkio_throttle: bool = False
    pids_limit: bool = False
    cgroup_namespaces: bool = False
    seccomp: bool = False
    apparmor: bool = False
    kernel: tuple[int, int] = (0, 0)
    last_capability: int = 40


@functools.cache
def facts() -> Facts:
    """The facts of the running kernel."""
    version = 2 if (_CGROUP / "cgroup.controllers").exists() else 1
    return Facts(
        cgroup_version=version,
        **(_controllers_v2() if version == 2 else _controllers_v1()),  # type: ignore[arg-type]
        cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
        seccomp="Seccomp:" in _read("/proc/self/status"),
        apparmor=_read("/sys/module/apparmor/parameters/enabled") == "Y",
        kernel=_kernel(platform.release()),
        last_capability=int(_read("/proc/sys/kernel/cap_last_cap") or 40),
    )


def online_cpus() -> int:
    return len(os.sched_getaffinity(0))


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _kernel(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return int(major), int(minor or 0)


def _controllers_v1() -> dict[str, bool | str]:
    """Each controller's own directory; absent files are absent abilities."""
    mounts = _v1_mounts()

    def has(controller: str, *names: str) -> bool:
        return controller in mounts and all((mounts[controller] / name).exists() for name in names)

    cpuset = mounts.get("cpuset", Path("/nonexistent"))
    return {
        "memory_limit": has("memory", "memory.limit_in_bytes"),
        "swap_limit": has("memory", "memory.memsw.limit_in_bytes"),
        "memory_reservation": has("memory", "memory.soft_limit_in_bytes"),
        "memory_swappiness": has("memory", "memory.swappiness"),
        "oom_kill_disable": has("memory", "memory.oom_control"),
        "cpu_shares": has("cpu", "cpu.shares"),
        "cpu_cfs": has("cpu", "cpu.cfs_quota_us"),
        "cpu_realtime": has("cpu", "cpu.rt_period_us"),
        "cpuset": has("cpuset"),
        "cpus": _read(cpuset / "cpuset.cpus"),
        "mems": _read(cpuset / "cpuset.mems"),
        "blkio_weight": has("blkio", "blkio.weight"),
        "blkio_weight_device": has("blkio", "blkio.weight_device"),
        "blkio_throttle": has("blkio", "blkio.throttle.read_bps_device"),
        "pids_limit": has("pids"),
    }


def _v1_mounts() -> dict[str, Path]:
    """Controller -> its mount point, from the mount table."""
    mounts: dict[str, Path] = {}
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fstype, _, options = after.split(" ")[:3]
        if fstype == "cgroup":
            mounts.update({name: Path(before.split(" ")[4]) for name in options.split(",")})
    return mounts


def _controllers_v2() -> dict[str, bool | str]:
    controllers = _read(_CGROUP / "cgroup.controllers").split()
    memory, cpu, io = "memory" in controllers, "cpu" in controllers, "io" in controllers
    return {
        "memory_limit": memory,
        "swap_limit": memory and _swap_v2(_CGROUP),
        "memory_reservation": memory,
        "cpu_shares": cpu,
        "cpu_cfs": cpu,
        "cpuset": "cpuset" in controllers,
        "cpus": _read(_CGROUP / "cpuset.cpus.effective"),
        "mems": _read(_CGROUP / "cpuset.mems.effective"),
        "blkio_weight": io,
        "blkio_weight_device": io,
        "blkio_throttle": io,
        "pids_limit": "pids" in controllers,
    }


def _swap_v2(group: Path) -> bool:
    """The topmost group has no such file, and may have none below it either: then it is as the kernel was built."""
    if any((each / "memory.swap.max").exists() for each in (group, *group.glob("*/"))):
        return True
    if any(group.glob("*/memory.current")):
        return False
    return Path("/proc/swaps").exists() and "swapaccount=0" not in _read("/proc/cmdline").split()


def parse_list(text: str) -> set[int]:
    """`0-2,7` as numbers; ValueError where it is no such list."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, ranged, last = part.strip().partition("-")
        if not first.isdecimal() or (ranged and not last.isdecimal()):
            raise ValueError(f"invalid format: {part}")
        low, high = int(first), int(last) if ranged else int(first)
        if high < low or high > 8192:
            raise ValueError(f"value out of range: {part}")
        numbers.update(range(low, high + 1))
    return numbers


def missing(asked: str, available: str) -> Sequence[int]:
    """Numbers of the list `asked` that the list `available` lacks."""
    if not asked:
        return []
    return sorted(parse_list(asked) - (parse_list(available) if available else set()))

"""Which capabilities a container's processes hold: Docker's default set, `--cap-add`, `--cap-drop`, `--privileged`."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci.defaults import CAPABILITIES
from services.dockerd.oci.facts import facts

NAMES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
    "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
    "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)
"""By number."""


@functools.cache
def everything() -> tuple[str, ...]:
    """All capabilities that this kernel knows and this daemon may give."""
    status = Path("/proc/self/status").read_text()
    bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
    known = NAMES[: facts().last_capability + 1]
    return tuple(name for number, name in enumerate(known) if bounding >> number & 1)


def normalize(names: Sequence[str] | None) -> list[str]:
    """Upper-cased, with their prefix; "ALL" stays. InvalidArgument for a name no kernel has."""
    normal = []
    for name in names or ():
        upper = name.upper()
        if upper not in ("ALL", "CAP_ALL"):
            upper = upper if upper.startswith("CAP_") else f"CAP_{upper}"
            if upper not in NAMES:
                raise errdefs.InvalidArgument(f'unknown capability: "{upper}"')
        normal.append("ALL" if upper == "CAP_ALL" else upper)
    return normal


def choose(add: Sequence[str] | None, drop: Sequence[str] | None, *, privileged: bool) -> tuple[str, ...]:
    """The container's bounding set."""
    added, dropped = normalize(add), normalize(drop)
    if privileged:
        return everything()
    if "ALL" in added:
        return tuple(name for name in everything() if name not in dropped)
    kept = [] if "ALL" in dropped else [name for name in CAPABILITIES if name not in dropped]
    return tuple(dict.fromkeys([*kept, *added]))


def build(names: Sequence[str], uid: int) -> dict[str, Any]:
    """`process.capabilities`: never inheritable nor ambient; for others than root bounding only, as after execve."""
    if uid != 0:
        return {"bounding": list(names)}
    return {"bounding": list(names), "effective": list(names), "permitted": list(names)}

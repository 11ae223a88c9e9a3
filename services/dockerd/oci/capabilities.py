"""Which capabilities a container's processes hold: Docker's default set, `--cap-add`, `--cap-drop`, `--privileged`."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci.defaults import CAPABILITIES
from services.dockerd.oci.facts import facts

NAMES: Final = tuple(
    "CAP_" + name
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
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
    """`process.capabilities`: never inheritable nor ambient; bounding only for a user that is not root, as execve leaves it."""
    if uid != 0:
        return {"bounding": list(names)}
    return {"bounding": list(names), "effective": list(names), "permitted": list(names)}

"""AppArmor's `docker-default`: which profile a process gets, and loading it where the kernel does not have it."""

import asyncio
from pathlib import Path
from typing import Final

from protos import errdefs
from services.dockerd.oci.facts import facts

DEFAULT: Final = "docker-default"
_LOADED: Final = Path("/sys/kernel/security/apparmor/profiles")
_PARSER: Final = "apparmor_parser"
_TEXT: Final = """\
#include <tunables/global>

profile docker-default flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>

  network,
  deny network alg,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer=docker-default,
  ptrace (trace,read,tracedby,readby) peer=docker-default,

  # /proc: nothing outside the process's own directories, nothing but shm* of sys/kernel
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,

  deny mount,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
"""


def choose(profile: str, *, privileged: bool) -> str:
    """`process.apparmorProfile`; "" where the kernel has no AppArmor."""
    if not facts().apparmor:
        return ""
    return profile or ("unconfined" if privileged else DEFAULT)


async def ensure(profile: str) -> None:
    """Load `docker-default` where it is wanted and the kernel lacks it: anything on the host may have unloaded it."""
    if profile != DEFAULT or _is_loaded():
        return
    try:
        parser = await asyncio.create_subprocess_exec(
            _PARSER, "-Kr", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise errdefs.FailedPrecondition(
            f"AppArmor enabled on system but the {DEFAULT} profile could not be loaded: {_PARSER} is not installed"
        ) from error
    _, complaint = await parser.communicate(_TEXT.encode())
    if not _is_loaded():
        raise errdefs.FailedPrecondition(
            f"AppArmor enabled on system but the {DEFAULT} profile could not be loaded: running `{_PARSER} -Kr` failed "
            f"with output: {complaint.decode(errors='replace').strip()[-500:]}"
        )


def _is_loaded() -> bool:
    try:
        return any(line.startswith(f"{DEFAULT} (") for line in _LOADED.read_text().splitlines())
    except OSError:
        return False

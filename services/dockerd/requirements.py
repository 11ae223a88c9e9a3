"""What this machine must have before anything is started: each thing that is missing with the way to get it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protos.errdefs import FailedPrecondition
from services.dockerd import cgroups, programs
from services.dockerd.cluster import settings
from services.dockerd.config import Config
from services.dockerd.programs import which
from services.dockerd.registry import mirrors

CONTROLLERS: Final = ("devices", "memory", "cpu", "freezer", "pids")
"""Of cgroup v1; v2 has devices and freezer built in."""


def check(config: Config) -> None:
    """FailedPrecondition listing all that is missing."""
    if os.geteuid() != 0:
        raise FailedPrecondition("dockerd needs to be started with root privileges: run it with sudo or as root")
    if config.cluster_advertise:
        settings.advertised(config.cluster_advertise)
    mirrors.read(config.registry_config)
    cgroups.check(config)
    missing = [*_programs(config), *_kernel(config)]
    if missing:
        raise FailedPrecondition("this machine lacks what dockerd needs:\n  " + "\n  ".join(missing))


def _programs(config: Config) -> Iterator[str]:
    program = config.runtime.program
    if program and not which(program):
        yield f"OCI runtime {program}: apt-get install runc, or choose another by --default-runtime"
    if config.init and not init_program(config):
        yield "docker-init for --init: apt-get install tini, or give its place by --init-path"
    proxy = config.userland_proxy_path
    if config.userland_proxy and proxy and not which(proxy):
        yield f"the program {proxy} of --userland-proxy-path: leave the flag away, or start with --userland-proxy=false"
    if config.iptables and config.bridge != "none" and not which("iptables-restore"):
        yield "iptables: apt-get install iptables, or start with --iptables=false"


def init_program(config: Config) -> str:
    """Path of docker-init, "" where there is none."""
    return programs.init(config.init_path)


def _kernel(config: Config) -> Iterator[str]:
    yield from _cgroups()
    if cgroups.by_systemd(config) and not cgroups.SYSTEMD.is_dir():
        yield "systemd for native.cgroupdriver=systemd: it is not what runs this machine, use cgroupfs"
    yield from _userns(config)
    if config.selinux_enabled:
        yield _selinux()
    if config.storage_driver in ("overlay2", "overlay") and not _filesystem("overlay"):
        yield "overlayfs: modprobe overlay, a kernel with CONFIG_OVERLAY_FS, or --storage-driver vfs"


def _cgroups() -> Iterator[str]:
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kinds = {fields[fields.index("-") + 1]: fields[4] for fields in mounts}
    if "cgroup" not in kinds:
        if "cgroup2" not in kinds:
            yield "cgroups: mount -t cgroup2 none /sys/fs/cgroup"
        return
    mounted = {name for fields in mounts if fields[fields.index("-") + 1] == "cgroup" for name in fields[-1].split(",")}
    for name in CONTROLLERS:
        if name not in mounted:
            place = f"/sys/fs/cgroup/{name}"
            yield f"cgroup controller {name}: mkdir -p {place} && mount -t cgroup -o {name} cgroup {place}"


def _userns(config: Config) -> Iterator[str]:
    if not config.userns_remap:
        return
    if config.containerd:
        yield (
            f"ids of files for --userns-remap: the containerd at {config.containerd} unpacks images for the host's "
            "root, and dockerd cannot tell it otherwise: start without --containerd, so that docker-containerd is told"
        )
    limit = Path("/proc/sys/user/max_user_namespaces")
    if not Path("/proc/self/ns/user").exists() or (limit.exists() and limit.read_text().strip() == "0"):
        yield "user namespaces for --userns-remap: a kernel with CONFIG_USER_NS, sysctl user.max_user_namespaces=65536"


def _selinux() -> str:
    if _filesystem("selinuxfs"):
        return "SELinux labels: containers get none from this engine yet: start without --selinux-enabled"
    return "SELinux: this kernel has it neither on nor built in: start without --selinux-enabled"


def _filesystem(name: str) -> bool:
    return name in Path("/proc/filesystems").read_text().split() or _modprobe(name)


def links(error: OSError) -> FailedPrecondition:
    """Why the kernel made no network device. Asked only once it refused: looking for it beforehand takes longer."""
    return FailedPrecondition(
        f"this kernel makes no network devices for containers ({error.strerror}): modprobe -a bridge veth, a kernel "
        "with CONFIG_BRIDGE and CONFIG_VETH, or start with --bridge none"
    )


def _modprobe(name: str) -> bool:
    program = which("modprobe")
    return bool(program) and os.spawnl(os.P_WAIT, program, "modprobe", "-q", name) == 0

"""What a container's document and an exec's are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protos.idmap import Owners
from services.dockerd.oci.user import User
from services.dockerd.schema.container import ContainerConfig, HostConfig, Ulimit
from services.dockerd.volumes.mountpoint import MountPoint


@dataclass(frozen=True, slots=True)
class Defaults:
    """What of the daemon's configuration shapes every container."""

    init_path: str = ""
    """Program of `--init`; "" looks for docker-init."""
    init: bool = False
    cgroup_parent: str = ""
    systemd_cgroup: bool = False
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    seccomp_profile: str = ""
    """"" and "builtin" are Docker's own profile; "unconfined"; else the JSON text of a profile."""
    no_new_privileges: bool = False
    readonly_problem: str = "rro is not supported"
    """Why mounts cannot be read-only with all mounts beneath them (`rro`); "" where they can."""
    owners: Owners | None = None
    """The ids that a container's are on the host, where it has a user namespace."""


@dataclass(frozen=True, slots=True)
class SpecInput:
    """Everything a container's document is made of. `host` went through `limits.adapt` and `verify`."""

    id: str
    config: ContainerConfig
    host: HostConfig
    args: Sequence[str]
    """Entrypoint and command."""
    user: User
    mounts: Sequence[MountPoint] = ()
    """Binds, volumes and tmpfs, attached: every source exists."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Destination -> source of /etc/hostname, /etc/hosts and /etc/resolv.conf."""
    hostname: str = ""
    domainname: str = ""
    netns_path: str | None = None
    """Namespace to join; None shares the host's, "" lets the runtime make one."""
    ipc_path: str = ""
    """Namespace file of the container whose IPC is joined (`--ipc container:x`)."""
    pid_path: str = ""
    """Namespace file of the container whose PIDs are joined (`--pid container:x`)."""
    userns_path: str = ""
    """User namespace of the container that others of its namespaces are joined with."""
    shm_path: str = ""
    """Host directory to show as /dev/shm (shareable, container:x, host); "" for a private tmpfs."""
    env: Sequence[str] = ()
    """Variables before the container's own (links)."""
    defaults: Defaults = field(default_factory=Defaults)

    @property
    def owners(self) -> Owners | None:
        """None for a container in the host's user namespace."""
        return None if self.host.UsernsMode == "host" else self.defaults.owners


@dataclass(frozen=True, slots=True)
class ExecInput:
    """What an exec adds to its container."""

    args: Sequence[str]
    user: User
    env: Sequence[str] = ()
    cwd: str = ""
    tty: bool = False
    privileged: bool = False
    console: tuple[int, int] = (0, 0)
    """Height and width, zero where unknown."""

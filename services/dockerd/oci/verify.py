"""What create refuses of a HostConfig before anything is made: namespaces, capabilities, devices, limits, security."""

from typing import Final

from protos import errdefs
from services.dockerd import cgroups
from services.dockerd.oci import capabilities, cdi, devices, limits, nvidia, seccomp, security
from services.dockerd.oci.facts import facts
from services.dockerd.schema.container import ContainerConfig, HostConfig

_MODES: Final = {
    "IpcMode": ("IPC", ("", "none", "private", "shareable", "host"), True),
    "PidMode": ("PID", ("", "host"), True),
    "UTSMode": ("UTS", ("", "host"), False),
    "CgroupnsMode": ("cgroup namespace", ("", "private", "host"), False),
    "UsernsMode": ("user namespace", ("", "host"), False),
}
"""Field -> its name in errors, its words, whether `container:<id>` is one of them."""


def verify(
    config: ContainerConfig, host: HostConfig, *, systemd_cgroup: bool = False, remaps: bool = False,
    described: bool = True,
) -> list[str]:
    """Docker's warnings; InvalidArgument with Docker's texts. What the kernel cannot do is reset in place."""
    warnings = limits.verify(host)
    for field, (name, words, joins) in _MODES.items():
        mode = getattr(host, field)
        if mode not in words and not (joins and mode.startswith("container:") and mode != "container:"):
            raise errdefs.InvalidArgument(f"invalid {name} mode: {mode}")
    _numbers(host)
    _names(host)
    _requests(host, described)
    if remaps and host.UsernsMode != "host":
        _remapped(host)
    if config.Hostname and host.UTSMode == "host":
        raise errdefs.InvalidArgument("conflicting options: hostname and the UTS mode")
    if host.CgroupParent and systemd_cgroup:
        cgroups.check_slice(host.CgroupParent)
    if host.CgroupnsMode == "private" and not facts().cgroup_namespaces:
        warnings.append("Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.")
    if host.NetworkMode == "host" and host.PortBindings:
        warnings.append("Published ports are discarded when using host network mode")
    return warnings


def _remapped(host: HostConfig) -> None:
    """What a container in a user namespace of its own cannot have."""
    if host.Privileged:
        raise errdefs.InvalidArgument(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode"
        )
    if host.NetworkMode == "host":
        raise errdefs.InvalidArgument("cannot share the host's network namespace when user namespaces are enabled")
    if host.PidMode == "host":
        raise errdefs.InvalidArgument("cannot share the host PID namespace when user namespaces are enabled")


def _numbers(host: HostConfig) -> None:
    if host.ShmSize < 0:
        raise errdefs.InvalidArgument("SHM size can not be less than 0")
    if not -1000 <= host.OomScoreAdj <= 1000:
        raise errdefs.InvalidArgument(f"Invalid value {host.OomScoreAdj}, range for oom score adj is [-1000, 1000]")
    for limit in host.Ulimits or ():
        if limit.Hard != -1 and (limit.Soft > limit.Hard or (limit.Soft == -1 and limit.Hard >= 0)):
            raise errdefs.InvalidArgument(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.Soft} > {limit.Hard}"
            )


def _names(host: HostConfig) -> None:
    for field in ("CapAdd", "CapDrop"):
        try:
            capabilities.normalize(getattr(host, field))
        except errdefs.InvalidArgument as error:
            raise errdefs.InvalidArgument(f"invalid {field}: {error}") from error
    devices.verify(host)
    chosen = security.parse(host.SecurityOpt)
    if chosen.seccomp not in ("", "builtin", "unconfined"):
        seccomp.evaluate(chosen.seccomp, ())


def _requests(host: HostConfig, described: bool) -> None:
    """Device drivers are CDI, if its descriptions are to be read, and nvidia's, where its hook is."""
    for request in host.DeviceRequests or ():
        if request.Driver == cdi.DRIVER and described:
            continue
        if nvidia.serves(request):
            nvidia.check(request)
            continue
        kinds = " ".join(f"[{' '.join(kind)}]" for kind in request.Capabilities or ())
        raise errdefs.InvalidArgument(
            f'could not select device driver "{request.Driver}" with capabilities: [{kinds}]')

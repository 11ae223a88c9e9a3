"""What create and update refuse, in Docker's words (pure).

Limits, devices and capabilities: oci/. Mounts: volumes/. Networks and addresses: the network controller.
"""

import re
from pathlib import PurePosixPath
from typing import Final

from protos import errdefs
from services.dockerd.container import signals
from services.dockerd.schema.container import ContainerConfig, HealthConfig, HostConfig, RestartRule

HOST_LINKS: Final = (
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior")
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def refuse(text: str) -> errdefs.InvalidArgument:
    return errdefs.InvalidArgument(text)


def name(text: str) -> str:
    """The name without its slash."""
    bare = text.removeprefix("/")
    if not NAME.fullmatch(bare):
        raise refuse(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def config(given: ContainerConfig) -> None:
    if given.WorkingDir and not PurePosixPath(given.WorkingDir).is_absolute():
        raise refuse(f"the working directory '{given.WorkingDir}' is invalid, it needs to be an absolute path")
    for variable in given.Env or []:
        if not variable or variable.startswith("="):
            raise refuse("invalid environment variable: " + variable)
    if given.StopSignal:
        signals.parse(given.StopSignal)
    for port in given.ExposedPorts or {}:
        _port(port)
    health(given.Healthcheck)


_HEALTH: Final = (("Interval", "Interval"), ("Timeout", "Timeout"), ("StartPeriod", "StartPeriod"),
                  ("StartInterval", "StartInterval"))


def health(given: HealthConfig | None) -> None:
    if given is None:
        return
    for key, word in _HEALTH:
        value: int = getattr(given, key)
        if value and value < 1_000_000:
            raise refuse(f"{word} in Healthcheck cannot be less than 1ms")
    if given.Retries < 0:
        raise refuse("Retries in Healthcheck cannot be negative")


def _port(text: str) -> None:
    number, _, protocol = text.partition("/")
    first, dash, last = number.partition("-")
    numbers = [first, last] if dash else [first]
    if protocol not in ("", "tcp", "udp", "sctp"):
        raise refuse(f"invalid port specification: {text!r}".replace("'", '"'))
    if not all(each.isdecimal() and 0 < int(each) <= 65535 for each in numbers) or int(first) > int(numbers[-1]):
        raise refuse(f'invalid port specification: "{text}"')


def host(given: HostConfig) -> None:
    restart(given.RestartPolicy)
    if given.Isolation not in ("", "default"):
        raise refuse(f'Invalid isolation: "{given.Isolation}" - linux only supports \'default\'')
    if given.AutoRemove and given.RestartPolicy.Name not in ("", "no"):
        raise refuse("can't create 'AutoRemove' container with restart policy")
    if given.ShmSize < 0:
        raise refuse("SHM size can not be less than 0")
    if not -1000 <= given.OomScoreAdj <= 1000:
        raise refuse(f"Invalid value {given.OomScoreAdj}, range for oom score adj is [-1000, 1000]")
    for limit in given.Ulimits or []:
        if limit.Hard != -1 and limit.Soft > limit.Hard:
            raise refuse(f"ulimit soft limit must be less than or equal to hard limit: {limit.Soft} > {limit.Hard}")
    for port, bindings in (given.PortBindings or {}).items():
        _port(port)
        for binding in bindings or []:
            _host_port(binding.HostPort)
    for entry in given.ExtraHosts or []:
        if ":" not in entry:
            raise refuse(f"bad format for add-host: {entry!r}".replace("'", '"'))
    if given.CgroupnsMode not in ("", "host", "private"):
        raise refuse(f"invalid cgroup namespace mode: {given.CgroupnsMode}")


def _host_port(text: str) -> None:
    first, _, last = text.partition("-")
    if not all(each == "" or (each.isdecimal() and int(each) <= 65535) for each in (first, last)):
        raise refuse(f'invalid port specification: "{text}"')


def restart(rule: RestartRule) -> None:
    if rule.Name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise refuse(
            f"invalid restart policy: unknown policy '{rule.Name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'")
    if rule.Name != "on-failure" and rule.MaximumRetryCount != 0:
        raise refuse("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if rule.MaximumRetryCount < 0:
        raise refuse("invalid restart policy: maximum retry count cannot be negative")


def network(given: ContainerConfig, settings: HostConfig) -> None:
    """Options that exclude one another where a namespace is shared; `given` as the client sent it."""
    if settings.UTSMode == "host" and given.Hostname:
        raise refuse("conflicting options: hostname and the UTS mode")
    if settings.NetworkMode == "host" and settings.Links:
        raise refuse(HOST_LINKS)
    if not settings.NetworkMode.startswith("container:"):
        return
    conflicts = (
        (given.Hostname, "conflicting options: hostname and the network mode"),
        (settings.Links, "conflicting options: container type network can't be used with links. "
                         "This would result in undefined behavior"),
        (settings.Dns, "conflicting options: dns and the network mode"),
        (settings.ExtraHosts, "conflicting options: custom host-to-IP mapping and the network mode"),
        (settings.PortBindings or settings.PublishAllPorts,
         "conflicting options: port publishing and the container type network mode"),
        (given.ExposedPorts, "conflicting options: port exposing and the container type network mode"),
    )
    for set_, text in conflicts:
        if set_:
            raise refuse(text)

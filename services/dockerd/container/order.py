"""Which containers are to run before which, when dockerd starts them itself (pure).

Docker waits for links alone; whose volumes or namespaces are used has to be there before, too.
"""

from collections.abc import Callable, Iterable
from typing import Final

from services.dockerd.schema.container import HostConfig

_JOINED: Final = ("NetworkMode", "IpcMode", "PidMode")


def needs(host: HostConfig) -> list[str]:
    """Names or ids of the containers that `host` refers to."""
    links = [link.partition(":")[0].removeprefix("/") for link in host.Links or ()]
    volumes = [source.partition(":")[0] for source in host.VolumesFrom or ()]
    modes = [str(getattr(host, field)) for field in _JOINED]
    return [*links, *volumes, *(mode.removeprefix("container:") for mode in modes if mode.startswith("container:"))]


def before(hosts: dict[str, HostConfig], find: Callable[[str], str | None]) -> dict[str, set[str]]:
    """For each id, the ids in `hosts` that are to be started first. `find` knows the id of a name.

    What is wanted in a circle is started without waiting for one another; nobody waits for himself.
    """
    wanted = {
        each: {found for name in needs(host) if (found := find(name)) in hosts and found is not None and found != each}
        for each, host in hosts.items()
    }
    return {each: {other for other in wanted[each] if each not in _reached(wanted, other)} for each in wanted}


def _reached(wanted: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead: list[str] = [start]
    while ahead:
        following: Iterable[str] = wanted[ahead.pop()] - seen
        seen.update(following)
        ahead.extend(following)
    return seen

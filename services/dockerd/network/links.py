"""Legacy links on the default bridge: names in hosts files, and rules where icc=false keeps containers apart.

They follow the container that is linked to: once it starts again with another address, names and rules do too.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from services.dockerd.container.links import parse
from services.dockerd.network import files
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.firewall import Firewall
from services.dockerd.network.firewall.rules import Link
from services.dockerd.network.hosts import Record
from services.dockerd.network.networks import Network, Networks
from services.dockerd.network.ports import parse_exposed
from services.dockerd.network.request import Request
from services.dockerd.network.sandbox import Records, Sandbox


class Known(Protocol):
    """What links are made from: everything that runs, and by container id what was asked for it."""

    networks: Networks
    sandboxes: dict[str, Sandbox]
    requests: dict[str, Request]
    records: Records
    firewall: Firewall

    def rules_of(self, network: Network) -> rules.Bridge: ...


def end_of(known: Known, sandbox: Sandbox) -> Endpoint | None:
    """The endpoint on the default bridge, where links are."""
    default = known.networks.get("bridge")
    return next((end for end in sandbox.endpoints if end.network_id == default.id and end.address), None)


async def join(known: Known, sandbox: Sandbox) -> None:
    """A container has started: what it links to, and who links to it."""
    await refresh(known, sandbox)
    for other in _owners(known, sandbox):
        await refresh(known, other)
        _rename(known, other, sandbox)


async def part(known: Known, sandbox: Sandbox) -> None:
    """A container goes: the rules that led from it and to it go too."""
    for end, kept in [(end_of(known, sandbox), []), *_without(known, sandbox)]:
        if end and end.links != kept:
            await _replace(known, end, kept)


async def refresh(known: Known, sandbox: Sandbox) -> None:
    """Have the rules that a container's links ask for now."""
    end = end_of(known, sandbox)
    if end:
        wanted = list(_links(known, sandbox, str(end.address)))
        if wanted != end.links:
            await _replace(known, end, wanted)
            known.records.save(sandbox)


async def forget(known: Known, sandbox: Sandbox, gone: Iterable[str]) -> None:
    """Take the names and rules of links that are a container's no more."""
    await refresh(known, sandbox)
    for text in gone:
        if other := _find(known, parse(text).target):
            files.rename(sandbox.hosts_path, names(text, other), [])


async def _replace(known: Known, end: Endpoint, wanted: list[Link]) -> None:
    net = known.rules_of(known.networks.get("bridge"))
    before, end.links = end.links, wanted
    await known.firewall.remove(rules.links(net, [each for each in before if each not in wanted]))
    await known.firewall.add(rules.links(net, wanted))


def _links(known: Known, sandbox: Sandbox, address: str) -> Iterator[Link]:
    for text in known.requests[sandbox.container_id].host.Links or ():
        other = _find(known, parse(text).target)
        end = end_of(known, other) if other else None
        if other and end:
            for exposed in known.requests[other.container_id].exposed:
                yield Link(address, str(end.address), *parse_exposed(exposed))


def _find(known: Known, target: str) -> Sandbox | None:
    found = (each for each in known.sandboxes.values() if target == each.name or
             each.container_id.startswith(target))
    return next(found, None)


def _owners(known: Known, sandbox: Sandbox) -> list[Sandbox]:
    """Running containers that link to this one."""
    return [
        other for other in known.sandboxes.values()
        if other is not sandbox and any(
            _find(known, parse(text).target) is sandbox
            for text in known.requests[other.container_id].host.Links or ())
    ]


def _without(known: Known, sandbox: Sandbox) -> Iterable[tuple[Endpoint, list[Link]]]:
    """Endpoints whose links lead to a container, and those of their links that do not."""
    gone = [str(end.address) for end in sandbox.endpoints if end.address]
    for end in [end for other in known.sandboxes.values() for end in other.endpoints if end.links]:
        if any(link.server in gone for link in end.links):
            yield end, [link for link in end.links if link.server not in gone]


def names(text: str, other: Sandbox) -> str:
    """What a hosts file calls the container that is linked to."""
    return f"{parse(text).alias} {other.container_id[:12]} {other.name}"


def rename(known: Known, sandbox: Sandbox, old: str) -> None:
    """Whoever links to a container that was called `old` has it by its new name."""
    for owner in _owners(known, sandbox):
        for text in known.requests[owner.container_id].host.Links or ():
            files.rename(owner.hosts_path, f"{parse(text).alias} {sandbox.container_id[:12]} {old}", [])
        _rename(known, owner, sandbox)


def _rename(known: Known, owner: Sandbox, other: Sandbox) -> None:
    """Have the owner's hosts file name the other's present addresses."""
    for text in known.requests[owner.container_id].host.Links or ():
        if _find(known, parse(text).target) is other:
            spelled = names(text, other)
            addresses = [address for end in other.endpoints for address in end.addresses]
            files.rename(owner.hosts_path, spelled, [Record(address, spelled) for address in addresses])

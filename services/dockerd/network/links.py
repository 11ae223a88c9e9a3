"""Legacy links on the default bridge: names in hosts files, and rules where icc=false keeps containers apart.

They follow the container that is linked to: once it starts again with another address, names and rules do too.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from services.dockerd.container.links import parse
from services.dockerd.network import files
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.rules import Link
from services.dockerd.network.hosts import Record
from services.dockerd.network.ports import parse_exposed
from services.dockerd.network.sandbox import Sandbox

if TYPE_CHECKING:
    from services.dockerd.network.controller import Controller


def end_of(controller: "Controller", sandbox: Sandbox) -> Endpoint | None:
    """The endpoint on the default bridge, where links are."""
    default = controller.networks.get("bridge")
    return next((end for end in sandbox.endpoints if end.network_id == default.id and end.address), None)


async def join(controller: "Controller", sandbox: Sandbox) -> None:
    """A container has started: what it links to, and who links to it."""
    await refresh(controller, sandbox)
    for other in _owners(controller, sandbox):
        await refresh(controller, other)
        _rename(controller, other, sandbox)


async def part(controller: "Controller", sandbox: Sandbox) -> None:
    """A container goes: the rules that led from it and to it go too."""
    for end, kept in [(end_of(controller, sandbox), []), *_without(controller, sandbox)]:
        if end and end.links != kept:
            await _replace(controller, end, kept)


async def refresh(controller: "Controller", sandbox: Sandbox) -> None:
    """Have the rules that a container's links ask for now."""
    end = end_of(controller, sandbox)
    if end:
        wanted = list(_links(controller, sandbox, str(end.address)))
        if wanted != end.links:
            await _replace(controller, end, wanted)
            controller.records.save(sandbox)


async def forget(controller: "Controller", sandbox: Sandbox, gone: Iterable[str]) -> None:
    """Take the names and rules of links that are a container's no more."""
    await refresh(controller, sandbox)
    for text in gone:
        if other := _find(controller, parse(text).target):
            files.rename(sandbox.hosts_path, names(text, other), [])


async def _replace(controller: "Controller", end: Endpoint, wanted: list[Link]) -> None:
    net = controller.rules_of(controller.networks.get("bridge"))
    before, end.links = end.links, wanted
    await controller.firewall.remove(rules.links(net, [each for each in before if each not in wanted]))
    await controller.firewall.add(rules.links(net, wanted))


def _links(controller: "Controller", sandbox: Sandbox, address: str) -> Iterator[Link]:
    for text in controller.requests[sandbox.container_id].host.Links or ():
        other = _find(controller, parse(text).target)
        end = end_of(controller, other) if other else None
        if other and end:
            for exposed in controller.requests[other.container_id].exposed:
                yield Link(address, str(end.address), *parse_exposed(exposed))


def _find(controller: "Controller", target: str) -> Sandbox | None:
    found = (each for each in controller.sandboxes.values() if target == each.name or
             each.container_id.startswith(target))
    return next(found, None)


def _owners(controller: "Controller", sandbox: Sandbox) -> list[Sandbox]:
    """Running containers that link to this one."""
    return [
        other for other in controller.sandboxes.values()
        if other is not sandbox and any(
            _find(controller, parse(text).target) is sandbox
            for text in controller.requests[other.container_id].host.Links or ())
    ]


def _without(controller: "Controller", sandbox: Sandbox) -> Iterable[tuple[Endpoint, list[Link]]]:
    """Endpoints whose links lead to a container, and those of their links that do not."""
    gone = [str(end.address) for end in sandbox.endpoints if end.address]
    for end in [end for other in controller.sandboxes.values() for end in other.endpoints if end.links]:
        if any(link.server in gone for link in end.links):
            yield end, [link for link in end.links if link.server not in gone]


def names(text: str, other: Sandbox) -> str:
    """What a hosts file calls the container that is linked to."""
    return f"{parse(text).alias} {other.container_id[:12]} {other.name}"


def _rename(controller: "Controller", owner: Sandbox, other: Sandbox) -> None:
    """Have the owner's hosts file name the other's present addresses."""
    for text in controller.requests[owner.container_id].host.Links or ():
        if _find(controller, parse(text).target) is other:
            spelled = names(text, other)
            addresses = [address for end in other.endpoints for address in end.addresses]
            files.rename(owner.hosts_path, spelled, [Record(address, spelled) for address in addresses])

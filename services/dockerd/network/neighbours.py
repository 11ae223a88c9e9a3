"""On a network of the user's, containers know one another by name: through their hosts files, which outlive dockerd."""

from collections.abc import Iterable, Iterator, Sequence

from protos.errdefs import Conflict
from services.dockerd.container.links import parse
from services.dockerd.network import files, links
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.hosts import Record
from services.dockerd.network.request import Request, Target
from services.dockerd.network.sandbox import Sandbox


def names_of(request: Request, target: Target) -> list[str]:
    """What a container is called on a network; predefined ones know no names."""
    network, asked = target
    if network.predefined:
        return []
    return list(dict.fromkeys([request.name, *(asked.Aliases or ()), request.container_id[:12], request.hostname]))


def links_of(request: Request, others: Sequence[Sandbox]) -> list[Record]:
    """HostConfig.Links, `name:alias`: what the old way of naming a neighbour on the default bridge asks for."""
    records: list[Record] = []
    by_name = {each.name: each for each in others} | {each.container_id: each for each in others}
    for link in request.host.Links or ():
        name, alias = parse(link)
        other = by_name.get(name)
        addresses = [address for end in other.endpoints for address in end.addresses] if other else []
        if other is None or not addresses:
            raise Conflict(f"Cannot link to a non running container: /{name} AS /{request.name}/{alias}")
        records += [Record(each, links.names(link, other)) for each in addresses]
    return records


def meet(sandbox: Sandbox, endpoint: Endpoint, others: Iterable[Sandbox]) -> None:
    """Make a container and those on its network known to one another."""
    if not endpoint.names:
        return
    for other, end in _on_network(sandbox, endpoint, others):
        files.add_records(other.hosts_path, _records(endpoint))
        files.add_records(sandbox.hosts_path, _records(end))


def part(sandbox: Sandbox, endpoint: Endpoint, others: Iterable[Sandbox], *, both: bool = False) -> None:
    """Forget a container that leaves; `both` where it lives on and is to forget the others too."""
    if not endpoint.names:
        return
    for other, end in _on_network(sandbox, endpoint, others):
        files.remove_records(other.hosts_path, endpoint.addresses)
        if both:
            files.remove_records(sandbox.hosts_path, end.addresses)


def rename(sandbox: Sandbox, endpoint: Endpoint, request: Request, old: str, others: Iterable[Sandbox]) -> None:
    """Have a container that runs, and those on its network, know it by its new name and no more by the old one."""
    if not endpoint.names:
        return
    known = list(_on_network(sandbox, endpoint, others))
    for each in (sandbox, *(other for other, _ in known)):
        files.remove_records(each.hosts_path, endpoint.addresses)
    endpoint.names = list(dict.fromkeys(request.name if name == old else name for name in endpoint.names))
    files.add_records(sandbox.hosts_path, files.own_records(request, endpoint))
    for other, _ in known:
        files.add_records(other.hosts_path, _records(endpoint))


def _on_network(
    sandbox: Sandbox, endpoint: Endpoint, others: Iterable[Sandbox]
) -> Iterator[tuple[Sandbox, Endpoint]]:
    for other in others:
        if other is not sandbox and other.connected:
            for end in other.endpoints:
                if end.network_id == endpoint.network_id and end.places:
                    yield other, end


def _records(endpoint: Endpoint) -> list[Record]:
    return [Record(address, " ".join(endpoint.names)) for address in endpoint.addresses]

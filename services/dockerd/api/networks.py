"""Routes of networks: list, inspect, create, connect, disconnect, remove, prune. Wire only, but for one thing:
a container that does not run is joined to a network, or taken off it, in its record alone."""

import time
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from protos.errdefs import InvalidArgument, PermissionDenied
from services.dockerd import filters
from services.dockerd.container import stamp
from services.dockerd.container.container import Container
from services.dockerd.engine.engine import Engine
from services.dockerd.network import custom, views
from services.dockerd.network.networks import Network
from services.dockerd.network.request import check, check_addresses
from services.dockerd.schema.container import EndpointSettings
from services.dockerd.schema.network import NetworkConnect, NetworkCreate, NetworkDisconnect
from services.dockerd.web.context import engine_of
from services.dockerd.web.decode import read_json
from services.dockerd.web.query import flag
from services.dockerd.web.reply import json

router = APIRouter()

_LIST: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_PRUNE: Final = frozenset({"label", "label!", "until"})


@router.get("/networks")
async def list_networks(request: Request) -> Response:
    engine = engine_of(request)
    wanted = filters.parse(request.query_params.get("filters"), _LIST)
    found = (each for each in engine.network.networks if _chosen(engine, each, wanted))
    return json([_document(engine, each, containers=False) for each in found])


@router.get("/networks/{reference}")
async def inspect_network(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    document = _document(engine, engine.network.networks.get(reference), containers=True)
    return json(document | {"Services": {}} if flag(request, "verbose") else document)


@router.post("/networks/create")
async def create_network(request: Request) -> Response:
    asked = await read_json(request, NetworkCreate)
    network = await custom.create(engine_of(request).network, asked)
    return json({"Id": network.id, "Warning": ""}, 201)


@router.post("/networks/prune")
async def prune_networks(request: Request) -> Response:
    engine = engine_of(request)
    wanted = filters.parse(request.query_params.get("filters"), _PRUNE)
    return json({"NetworksDeleted": await custom.prune(engine.network, wanted, _users(engine), _until(wanted))})


@router.post("/networks/{reference}/connect")
async def connect_network(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    body = await read_json(request, NetworkConnect)
    network = engine.network.networks.get(reference)
    container = engine.containers.get(body.Container)
    asked = body.EndpointConfig or EndpointSettings()
    check(network, asked)
    check_addresses(network, asked)
    async with container.lock:
        if container.id in engine.network.sandboxes:
            await custom.attach(engine.network, container.id, network, asked)
        elif container.host.NetworkMode == "none" and "none" not in container.endpoints:
            container.host.NetworkMode = network.name  # it has been taken off all its networks
            engine.store.save_host(container)
        else:
            _check_new(container, network)
        container.endpoints[network.name] = asked
        _save(engine, container)
    return Response(status_code=200)


@router.post("/networks/{reference}/disconnect")
async def disconnect_network(request: Request, reference: str) -> Response:
    engine = engine_of(request)
    body = await read_json(request, NetworkDisconnect)
    network = engine.network.networks.get(reference)
    container = engine.containers.get(body.Container)
    async with container.lock:
        if container.id in engine.network.sandboxes:
            await custom.detach(engine.network, container.id, network)
        elif network.name not in _names(container):
            raise PermissionDenied(f"container {container.id} is not connected to network {network.name}")
        container.endpoints.pop(network.name, None)
        if container.host.NetworkMode in (network.name, network.id, "default"):
            # NetworkMode is where a start begins: it must not bring the network back.
            container.host.NetworkMode = next(iter(container.endpoints), "none")
            engine.store.save_host(container)
        _save(engine, container)
    return Response(status_code=200)


@router.delete("/networks/{reference}")
async def remove_network(request: Request, reference: str) -> Response:
    await custom.remove(engine_of(request).network, reference)
    return Response(status_code=204)


def _document(engine: Engine, network: Network, *, containers: bool) -> dict[str, Any]:
    return views.network_document(network, engine.network.sandboxes.values(), containers=containers)


def _chosen(engine: Engine, network: Network, wanted: filters.Filters) -> bool:
    kind = "builtin" if network.predefined else "custom"
    if "dangling" in wanted:
        unused = not network.predefined and not any(custom.members(engine.network, network))
        if unused is not wanted.flag("dangling", False):
            return False
    return (
        wanted.match("name", network.name)
        and wanted.fuzzy("id", network.id)
        and wanted.exact("driver", network.driver)
        and wanted.exact("scope", "local")
        and wanted.exact("type", kind)
        and wanted.labels("label", network.labels)
    )


def _names(container: Container) -> set[str]:
    mode = container.host.NetworkMode
    return {*container.endpoints, "bridge" if mode in ("", "default") else mode}


def _check_new(container: Container, network: Network) -> None:
    mode = container.host.NetworkMode
    custom.check_attachable("container" if mode.startswith("container:") else mode, network)
    if network.name in _names(container):
        raise PermissionDenied(f"endpoint with name {container.name} already exists in network {network.name}")


def _users(engine: Engine) -> set[str]:
    """Names of networks that any container refers to, running or not."""
    return {name for container in engine.containers for name in _names(container)}


def _until(wanted: filters.Filters) -> int:
    values = wanted.get("until")
    try:
        return stamp.moment(values[0], time.time_ns()) if values else time.time_ns()
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def _save(engine: Engine, container: Container) -> None:
    engine.store.save(container)
    engine.containers.refresh(container)

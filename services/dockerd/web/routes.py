"""The routers of api/, in the order in which they are asked: literal paths before those that hold a name."""

from fastapi import APIRouter

from services.dockerd.api import (
    absent,
    archive,
    containers,
    debug,
    events,
    exec,  # noqa: A004
    images,
    networks,
    registry,
    stats,
    streams,
    system,
    volumes,
)


def routers() -> list[APIRouter]:
    modules = (
        system, containers, streams, stats, archive, exec, registry, images, volumes, networks, events, debug, absent
    )
    return [module.router for module in modules]

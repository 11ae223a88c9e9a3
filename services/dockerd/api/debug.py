"""Routes that show the engine to people: the process tree as JSON, and as a page that draws it live."""

import asyncio
import os
from importlib import resources

from fastapi import APIRouter, Request, Response

from services.dockerd import tree
from services.dockerd.engine.engine import Engine
from services.dockerd.web import reply
from services.dockerd.web.context import engine_of

router = APIRouter()


@router.get("/debug/tree")
async def process_tree(request: Request) -> Response:
    """Trees of nodes: dockerd's, and that of docker-containerd and of shims where they are not below it."""
    engine = engine_of(request)
    inits = {each.state.pid: each.id for each in engine.containers if each.state.running and each.state.pid}
    names = {each.id: each.name for each in engine.containers}
    nodes = await asyncio.to_thread(tree.read, names, inits, (os.getpid(), *_elsewhere(engine, list(inits))))
    return reply.json(tree.plain(nodes))


def _elsewhere(engine: Engine, inits: list[int]) -> list[int]:
    """Roots beside dockerd: after a crash, what it adopted has another parent."""
    found = [tree.top(pid, os.getpid()) for pid in inits]
    if containerd := tree.listening(engine.config.containerd_address):
        found.append(tree.top(containerd, os.getpid()))
    return [pid for pid in dict.fromkeys(found) if pid]


@router.get("/debug/tree.html")
async def tree_page() -> Response:
    page = resources.files("services.dockerd.api").joinpath("tree.html").read_bytes()
    return Response(page, media_type="text/html; charset=utf-8")

"""Routes that show the engine to people: the process tree as JSON, and as a page that draws it live."""

import asyncio
import os
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response

from services.dockerd import tree
from services.dockerd.engine.engine import Engine
from services.dockerd.web import reply
from services.dockerd.web.context import engine_of

router = APIRouter()


@router.get("/debug/tree")
async def process_tree(request: Request) -> Response:
    """Trees of nodes: dockerd's, and that of docker-containerd and of shims where they are not below it."""
    return reply.json(await asyncio.to_thread(_trees, engine_of(request)))


def _trees(engine: Engine) -> list[dict[str, Any]]:
    inits = {each.state.pid: each.id for each in engine.containers if each.state.running and each.state.pid}
    names = {each.id: each.name for each in engine.containers}
    us = os.getpid()
    containerd = tree.top(tree.listening(engine.config.containerd_address), us)
    roots = [us, containerd, *tree.beside(names, us)]
    return tree.plain(tree.read(names, inits, roots))


@router.get("/debug/tree.html")
async def tree_page() -> Response:
    page = resources.files("services.dockerd.api").joinpath("tree.html").read_bytes()
    return Response(page, media_type="text/html; charset=utf-8")

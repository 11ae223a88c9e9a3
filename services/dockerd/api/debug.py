"""Routes that show the engine to people: the process tree as JSON, and as a page that draws it live; with --debug also
what this process is at, at the places where Docker shows that."""

import asyncio
import gc
import io
import resource
import sys
import threading
import traceback
from importlib import resources

from fastapi import APIRouter, Request, Response

from protos.errdefs import NotFound
from services.dockerd import tree
from services.dockerd.web import reply
from services.dockerd.web.context import engine_of

router = APIRouter()


@router.get("/debug/tree")
async def process_tree(request: Request) -> Response:
    """What `tree.of` finds."""
    return reply.json(tree.plain(await asyncio.to_thread(tree.of, engine_of(request))))


@router.get("/debug/tree.html")
async def tree_page() -> Response:
    page = resources.files("services.dockerd.api").joinpath("tree.html").read_bytes()
    return Response(page, media_type="text/html; charset=utf-8")


@router.get("/debug/vars")
async def variables(request: Request) -> Response:
    """Counts of this process; with --debug only, as Docker's."""
    _debugging(request)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return reply.json({
        "cmdline": sys.argv,
        "memstats": {"MaxResident": usage.ru_maxrss << 10, "NumGC": [each["collections"] for each in gc.get_stats()]},
        "cpu": {"User": usage.ru_utime, "System": usage.ru_stime},
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    })


@router.get("/debug/pprof/goroutine")
async def running(request: Request) -> Response:
    """Where every thread and task stands, as text; with --debug only."""
    _debugging(request)
    return Response(_stacks(), media_type="text/plain; charset=utf-8")


@router.get("/debug/pprof/cmdline")
async def command_line(request: Request) -> Response:
    _debugging(request)
    return Response("\0".join(sys.argv), media_type="text/plain; charset=utf-8")


def _debugging(request: Request) -> None:
    """NotFound unless --debug is on now."""
    if not engine_of(request).config.debug:
        raise NotFound("page not found")


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    text = io.StringIO()
    for number, frame in sys._current_frames().items():
        text.write(f"thread {names.get(number, number)}\n{''.join(traceback.format_stack(frame))}\n")
    for task in asyncio.all_tasks():
        text.write(f"task {task.get_name()}\n")
        for frame in task.get_stack():  # not print_stack, which stumbles over frames of compiled code
            text.write(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n')
    return text.getvalue()

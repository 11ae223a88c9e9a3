"""`top`: the host's ps over a container's processes, in the columns that ps was asked for."""

import asyncio
import re
import shlex
from typing import Any, Final

from protos import errdefs
from services.dockerd.container.state import Status
from services.dockerd.engine import notify, tasks
from services.dockerd.engine.engine import Engine

_TIMEOUT: Final = 10.0


async def top(engine: Engine, reference: str, arguments: str) -> dict[str, Any]:
    """`{"Titles": …, "Processes": …}` of `ps arguments` (`-ef` where there are none)."""
    container = engine.containers.get(reference)
    if not container.state.active:
        raise errdefs.Conflict(f"container {container.id} is not running")
    if container.state.status is Status.RESTARTING:
        raise errdefs.Conflict(f"Container {container.id} is restarting, wait until the container is running")
    given = shlex.split(arguments or "-ef")
    _check(given)
    pids = {each.pid for each in await tasks.pids(engine, container.id)}
    selected = await _ps([*given, "-q", ",".join(map(str, sorted(pids)))])
    if selected is None:  # these arguments do not go together with -q: all processes, then ours
        selected = await _ps(given) or ""
    notify.container(engine, container, "top")
    return parse(selected, pids)


def _check(arguments: list[str]) -> None:
    """ps must show the PID under its own name: it is how processes are recognised."""
    for argument in arguments:
        if re.search(r"pid=", argument, re.IGNORECASE) and not re.search(r"\bpid=PID\b|\bppid=", argument):
            raise errdefs.InvalidArgument("specifying \"pid=\" with a header other than PID is not allowed")


async def _ps(arguments: list[str]) -> str | None:
    process = await asyncio.create_subprocess_exec(
        "ps", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(_TIMEOUT):
            output, problem = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise errdefs.Internal(f"ps {shlex.join(arguments)} did not end in {_TIMEOUT:g} s") from error
    if process.returncode == 0:
        return output.decode(errors="replace")
    if "-q" in arguments:
        return None
    raise errdefs.InvalidArgument(f"error running ps: {problem.decode(errors='replace').strip()}")


def parse(text: str, pids: set[int]) -> dict[str, Any]:
    """Titles and the rows of `pids`; threads, whose PID is shown as `-`, follow the row of their process (pure)."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise errdefs.InvalidArgument("Couldn't find PID field in ps output")
    column, rows, ours = titles.index("PID"), [], False
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) <= column:
            continue
        if fields[column] != "-":
            ours = fields[column].isdecimal() and int(fields[column]) in pids
        if ours:
            rows.append(fields)
    return {"Titles": titles, "Processes": rows}

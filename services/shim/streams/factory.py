"""Which stdio a process gets, from the URIs of its request."""

import os
from dataclasses import dataclass

from protos.errdefs import InvalidArgument, NotFound
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from services.shim.streams.binary import Binary, start_logger
from services.shim.streams.owner import open_owner, read_config
from services.shim.streams.plain import Null, Plain, open_output
from services.shim.streams.stdio import Stdio, Uri, parse


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for one process; `owner` is the uid and gid its pipes are given to."""

    namespace: str
    container_id: str
    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    owner: tuple[int, int] = (0, 0)


async def open_stdio(loop: Loop, reaper: Reaper, request: Request) -> Stdio:
    """The process's stdio, with everything open that it needs."""
    if not (request.stdin or request.stdout or request.stderr):
        return Null()
    stdout = parse(request.stdout) if request.stdout else None
    if stdout is not None and stdout.owner_config is not None:
        return await open_owner(loop, reaper, read_config(stdout.owner_config), request.owner)
    if stdout is not None and stdout.scheme == "binary":
        return await _open_binary(loop, reaper, request, stdout)
    try:
        return _open_plain(loop, request, stdout)
    except FileNotFoundError as error:
        raise NotFound(f"stdio {error.filename} does not exist: not found") from error
    except OSError as error:
        raise InvalidArgument(f"stdio {error.filename} cannot be opened: {error.strerror}") from error


async def _open_binary(loop: Loop, reaper: Reaper, request: Request, uri: Uri) -> Stdio:
    logger = await start_logger(loop, reaper, uri, request.namespace, request.container_id)
    return Binary(loop, reaper, logger, request.stdin, request.terminal)


def _open_plain(loop: Loop, request: Request, stdout: Uri | None) -> Stdio:
    outputs = [-1, -1]
    try:
        if stdout is not None:
            outputs[0] = open_output(stdout)
        if request.stderr and not request.terminal:
            same = request.stderr == request.stdout
            outputs[1] = os.dup(outputs[0]) if same else open_output(parse(request.stderr))
        return Plain(loop, request.stdin, (outputs[0], outputs[1]), request.terminal, request.owner)
    except BaseException:
        for fd in outputs:
            if fd >= 0:
                os.close(fd)
        raise

"""How a shim comes to be: forked by the zygote, executed as containerd 2.x does it, or found again in its bundle."""

import asyncio
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from protos import errdefs
from protos.containerd.runtime.task.v3 import shim_pb2
from services.containerd.runtime.bundle import Bundle, Exit, Server
from services.containerd.runtime.connection import connect
from services.containerd.runtime.shim import Shim
from services.containerd.runtime.zygote import Request, Zygote

log = logging.getLogger("launch")

_VERSION: Final = 3
_START: Final = 30.0
_GREETING: Final = 5.0
_REUNION: Final = 2.0
_LONGEST: Final = 107

Dead = Callable[[Shim], object]


class Launcher:
    """`ours` is the shim that the zygote forks; `address` is where shims send their events."""

    def __init__(self, ours: Path, state: Path, address: str, debug: bool, zygote: Zygote) -> None:
        self._ours = ours
        self._sockets = state / "s"
        self._address = address
        self._debug = debug
        self._zygote = zygote

    async def start(self, bundle: Bundle, program: Path, options: any_pb2.Any, dead: Dead) -> Shim:
        """A shim that answers; whatever goes wrong, none is left behind."""
        if self._is_ours(program):
            try:
                return await self._fork(bundle, dead)
            except errdefs.Unavailable as error:
                log.warning("shim is executed, not forked id=%s reason=%s", bundle.id, error)
        return await self._execute(bundle, program, options, dead)

    async def adopt(self, bundle: Bundle, dead: Dead) -> Shim:
        """The living shim of an earlier life's bundle; Unavailable where it is dead, NotFound where there was none."""
        server = bundle.server()
        shim = Shim(bundle, server, None)
        try:
            pid = (await shim.greet(_REUNION)).shim_pid
        except errdefs.DeadlineExceeded:
            if not server.identity.lives():
                raise errdefs.Unavailable(f"shim of {bundle.id} is gone") from None
            log.error("shim does not answer, it is kept id=%s pid=%d", bundle.id, server.identity.pid)
            pid, shim.created = server.identity.pid, True
        _attend(shim, pid, dead)
        return shim

    async def delete(self, bundle: Bundle, program: Path) -> Exit | None:
        """Have the shim's program clean up after its dead process; how init ended, None where it could not say."""
        if self._is_ours(program) and not bundle.requested():
            return None
        try:
            answer = await self._delete(bundle, program)
            reply = shim_pb2.DeleteResponse.FromString(answer)
        except (errdefs.EngineError, OSError, subprocess.SubprocessError, DecodeError) as error:
            log.error("delete of dead shim failed id=%s error=%s", bundle.id, error)
            return None
        at = reply.exited_at.seconds * 10**9 + reply.exited_at.nanos
        return Exit(reply.pid, reply.exit_status, at)

    def _is_ours(self, program: Path) -> bool:
        """Also the one of an earlier installation that is gone by now."""
        return program == self._ours or (program.name == self._ours.name and not program.exists())

    # by the zygote

    async def _fork(self, bundle: Bundle, dead: Dead) -> Shim:
        """The socket is made here and listens already: a call may be sent before the shim runs."""
        path = self._sockets / os.urandom(8).hex()
        if len(os.fsencode(path)) > _LONGEST:
            raise errdefs.InvalidArgument(f"socket {path} has more than {_LONGEST} bytes: choose a shorter --state")
        server = Server(str(self._ours), f"unix://{path}")
        bundle.save(server)
        with _listen(path) as listener:
            connection = await connect(str(path))
            try:
                pid = await self._zygote.fork(self._request("start", bundle), listener.fileno())
            except BaseException:
                connection.close()
                path.unlink(missing_ok=True)
                raise
        shim = Shim(bundle, server, connection)
        _attend(shim, pid, dead)
        return shim

    def _request(self, action: str, bundle: Bundle) -> Request:
        return Request(action, bundle.namespace, bundle.id, self._address, str(bundle.path), self._debug)

    # by its command

    async def _execute(self, bundle: Bundle, program: Path, options: any_pb2.Any, dead: Dead) -> Shim:
        bundle.save(Server(str(program)))
        given = options.SerializeToString()
        output = await asyncio.to_thread(self._command, bundle, program, "start", given)
        shim = Shim(bundle, Server(str(program), _address(output, program)), None)
        bundle.save(shim.server)
        pid = (await shim.greet(_GREETING)).shim_pid
        _attend(shim, pid, dead)
        return shim

    async def _delete(self, bundle: Bundle, program: Path) -> bytes:
        if self._is_ours(program):
            try:
                return await self._fork_delete(bundle)
            except errdefs.Unavailable as error:
                log.warning("delete is executed, not forked id=%s reason=%s", bundle.id, error)
        return await asyncio.to_thread(self._command, bundle, program, "delete", b"")

    async def _fork_delete(self, bundle: Bundle) -> bytes:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            await self._zygote.fork(self._request("delete", bundle), writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return await asyncio.to_thread(_read_all, reader)

    def _command(self, bundle: Bundle, program: Path, action: str, given: bytes) -> bytes:
        argv = [
            str(program), "-namespace", bundle.namespace, "-address", self._address, "-publish-binary", "",
            "-id", bundle.id, *(["-bundle", str(bundle.path)] if action == "delete" else []),
            *(["-debug"] if self._debug else []), action,
        ]
        environment = os.environ | {
            "GRPC_ADDRESS": self._address, "TTRPC_ADDRESS": f"{self._address}.ttrpc", "NAMESPACE": bundle.namespace,
            "MAX_SHIM_VERSION": str(_VERSION),
        }
        try:
            done = subprocess.run(
                argv, cwd=bundle.path, env=environment, input=given, capture_output=True, timeout=_START, check=False
            )
        except OSError as error:
            raise errdefs.NotFound(f"shim {program} cannot be executed: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise errdefs.DeadlineExceeded(f"{program} {action} was not done in {_START:g} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise errdefs.Unknown(f"{program} {action}: exit status {done.returncode}: {said}")
        return done.stdout


def _attend(shim: Shim, pid: int, dead: Dead) -> None:
    try:
        shim.watch(pid, dead)
        shim.identify()
    except ProcessLookupError as error:
        raise errdefs.Unavailable(f"shim of {shim.bundle.id} ended at once, its log says why") from error
    shim.read_log()


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    return listener


def _address(output: bytes, program: Path) -> str:
    """Where a started shim serves. What speaks no gRPC, or an older version, cannot be used."""
    text = output.decode(errors="replace").strip()
    try:
        result = json.loads(text)
        version, address, protocol = result["version"], result["address"], result["protocol"]
    except (ValueError, KeyError, TypeError):
        raise errdefs.Unimplemented(f"{program} is no version {_VERSION} shim, it printed {text[:200]!r}") from None
    if version != _VERSION or protocol != "grpc" or not str(address).startswith("unix://"):
        raise errdefs.Unimplemented(f"{program} serves {protocol} version {version} at {address}, not grpc on a socket")
    return str(address)


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as pipe:
        return pipe.read()

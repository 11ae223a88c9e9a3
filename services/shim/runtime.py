"""The OCI runtime by its command line: runc, crun, or whatever speaks it. Mirrors containerd's go-runc.

Every verb is a child of the reaper, so that the loop never waits. A verb that fails is reported in the runtime's own
words, which clients match; the command, its exit code and the last lines of its log go to our log and into the error.
"""

import json
import logging
import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos.containerd.types.runc.options import oci_pb2
from protos.errdefs import Unknown
from services.shim.reaper import Exit, Reaper

log = logging.getLogger("runtime")

NATIVE: Final = frozenset({"runc", "crun", "youki", "nvidia-container-runtime", "docker-runc"})
_HIDDEN: Final = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "GRPC_ADDRESS", "TTRPC_ADDRESS")
_TAIL: Final = 4096
_SAVED: Final = "runtime.json"

Stdio = tuple[int, int, int]


class RuntimeFailure(Unknown):
    """A verb failed. The message is the runtime's; `command` can be pasted into a shell."""

    def __init__(self, message: str, command: str, status: int, tail: str) -> None:
        super().__init__(message)
        self.command, self.status, self.tail = command, status, tail


@dataclass(frozen=True, slots=True)
class Settings:
    """How the runtime is to be called for a container."""

    binary: str
    root: str
    systemd_cgroup: bool = False
    no_pivot_root: bool = False
    no_new_keyring: bool = False

    @classmethod
    def of(cls, options: oci_pb2.Options, bundle: Path) -> "Settings":
        """As the task's options ask; without a root of their own the runtime's records lie in the bundle."""
        return cls(
            options.binary_name or "runc", options.root or str(bundle / "records"), options.systemd_cgroup,
            options.no_pivot_root, options.no_new_keyring,
        )

    def save(self, bundle: Path) -> None:
        """Leave in the bundle what `delete` needs to know once this shim is dead."""
        (bundle / _SAVED).write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}))

    @classmethod
    def load(cls, bundle: Path) -> "Settings":
        """What `save` left; FileNotFoundError where create was never asked for."""
        return cls(**json.loads((bundle / _SAVED).read_text()))


class Runtime:
    """The verbs for one container. All but `create` and `exec` are silent, their output kept for the report."""

    def __init__(self, reaper: Reaper, settings: Settings, container_id: str, bundle: Path) -> None:
        self._reaper = reaper
        self._settings = settings
        self._id = container_id
        self._bundle = bundle
        for name in _HIDDEN:  # the runtime inherits the rest as it is
            os.environ.pop(name, None)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.native = Path(settings.binary).name in NATIVE

    def close(self) -> None:
        os.close(self._null)

    async def create(
        self, pid_file: Path, stdio: Stdio | None, console: str | None, prepare: Callable[[], None] | None
    ) -> None:
        """`prepare` runs in the child before the runtime does, to mount what it is to find."""
        options = ["--bundle", str(self._bundle), "--pid-file", str(pid_file)]
        if console is not None:
            options += ["--console-socket", console]
        if self._settings.no_pivot_root:
            options.append("--no-pivot")
        if self._settings.no_new_keyring:
            options.append("--no-new-keyring")
        await self._run("create", [*options, self._id], stdio=stdio, prepare=prepare)

    async def start(self) -> None:
        await self._run("start", [self._id])

    async def exec(self, process: Path, pid_file: Path, stdio: Stdio | None, console: str | None) -> None:
        options = ["--process", str(process), "--detach", "--pid-file", str(pid_file)]
        if console is not None:
            options += ["--console-socket", console]
        await self._run("exec", [*options, self._id], stdio=stdio)

    async def kill(self, signal: int, everyone: bool) -> None:
        await self._run("kill", [*(["--all"] if everyone else []), self._id, str(signal)])

    async def pause(self) -> None:
        await self._run("pause", [self._id])

    async def resume(self) -> None:
        await self._run("resume", [self._id])

    async def delete(self, force: bool = False) -> None:
        await self._run("delete", [*(["--force"] if force else []), self._id])

    async def update(self, resources: dict[str, object]) -> None:
        document = os.memfd_create("resources")
        try:
            os.write(document, json.dumps(resources).encode())
            os.lseek(document, 0, os.SEEK_SET)
            await self._run("update", ["--resources", "-", self._id], stdin=document)
        finally:
            os.close(document)

    async def _run(
        self,
        verb: str,
        options: list[str],
        stdio: Stdio | None = None,
        stdin: int | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        log_path = self._bundle / f"log-{verb}-{os.urandom(4).hex()}.json"
        argv = [*self._command(log_path), verb, *options]
        said = os.memfd_create(verb)
        try:
            descriptors = stdio or (self._null if stdin is None else stdin, said, said)
            begin = time.perf_counter()
            ended = await self._start(verb, argv, descriptors, said, prepare)
            log.debug("runtime verb=%s ms=%.2f", verb, (time.perf_counter() - begin) * 1e3)
            if ended.status != 0:
                raise _failure(verb, argv, ended, log_path, _tail(said))
        finally:
            os.close(said)
            log_path.unlink(missing_ok=True)

    async def _start(
        self, verb: str, argv: list[str], stdio: Stdio, said: int, prepare: Callable[[], None] | None
    ) -> Exit:
        try:
            if prepare is None:
                child = self._reaper.spawn(argv, stdio)
            elif shutil.which(argv[0]) is None:
                raise FileNotFoundError(argv[0])
            else:
                child = self._reaper.fork_exec(argv, stdio, None, prepare, said)
        except FileNotFoundError as error:
            reason = f"stat {argv[0]}: no such file or directory"
            if "/" not in argv[0]:
                reason = "executable file not found in $PATH"
            text = f'OCI runtime {verb} failed: exec: "{argv[0]}": {reason}'
            raise RuntimeFailure(text, shlex.join(argv), 127, "") from error
        except OSError as error:
            text = f'OCI runtime {verb} failed: exec: "{argv[0]}": {(error.strerror or "").lower()}'
            raise RuntimeFailure(text, shlex.join(argv), 126, "") from error
        return await child.exit

    def _command(self, log_path: Path) -> list[str]:
        command = [self._settings.binary, "--root", self._settings.root, "--log", str(log_path), "--log-format", "json"]
        return [*command, "--systemd-cgroup"] if self._settings.systemd_cgroup else command


def _failure(verb: str, argv: list[str], ended: Exit, log_path: Path, said: str) -> RuntimeFailure:
    message, tail = last_error(log_path)
    command = shlex.join(argv)
    log.info("runtime failed command=%r status=%d log=%r said=%r", command, ended.status, tail, said)
    reason = message or said or f"{command}: exit status {ended.status}, and it said nothing"
    return RuntimeFailure(f"OCI runtime {verb} failed: {reason}", command, ended.status, tail or said)


def last_error(log_path: Path) -> tuple[str, str]:
    """The last message of level error (or worse) in a runtime's JSON log, and the log's last lines."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "", ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("level") in ("error", "fatal", "panic"):
            return str(record.get("msg", "")).strip(), "\n".join(lines[-5:])
    return "", "\n".join(lines[-5:])


def _tail(said: int) -> str:
    size = os.fstat(said).st_size
    return os.pread(said, _TAIL, max(0, size - _TAIL)).decode(errors="replace").strip()

"""A task on disk: the OCI bundle, and beside it who serves it (`shim.json`) and how its init ended (`exit.json`).

Our shim adds `runtime.json`, `init.pid` and that `exit.json`.

Everything lies below `--state`: `io.containerd.runtime.v2.task/<namespace>/<id>`, where containerd has it, too.
Written whole, never synced: after a power cut there is no task any more.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from protos import errdefs

TASKS: Final = "io.containerd.runtime.v2.task"
_SHIM: Final = "shim.json"
_EXIT: Final = "exit.json"
_RUNTIME: Final = "runtime.json"


@dataclass(frozen=True, slots=True)
class Exit:
    """How an init ended; `at` in nanoseconds since the epoch. The shim writes the same as exit.json."""

    pid: int
    status: int
    at: int


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that no other can be mistaken for: pid, start time in clock ticks, boot."""

    pid: int = 0
    started: int = 0
    boot: str = ""

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """ProcessLookupError where there is none."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except FileNotFoundError as error:
            raise ProcessLookupError(f"no process {pid}") from error
        return cls(pid, int(stat[19]), boot_id())

    def lives(self) -> bool:
        try:
            return self.pid > 0 and Identity.of(self.pid) == self
        except ProcessLookupError:
            return False


@dataclass(frozen=True, slots=True)
class Server:
    """Who serves a task."""

    program: str
    address: str = ""
    identity: Identity = field(default_factory=Identity)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True)
class Bundle:
    namespace: str
    id: str
    path: Path

    @classmethod
    def create(cls, state: Path, namespace: str, container_id: str, spec: bytes) -> "Bundle":
        """A new bundle; replaces what a task that is gone left there."""
        bundle = cls(namespace, container_id, state / TASKS / namespace / container_id)
        bundle.path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            bundle.path.mkdir(mode=0o700)
        except FileExistsError:
            bundle.remove()
            bundle.path.mkdir(mode=0o700)
        (bundle.path / "rootfs").mkdir(mode=0o711)
        (bundle.path / "config.json").write_bytes(spec)
        _open_to_mapped_root(bundle.path, spec)
        os.mkfifo(bundle.path / "log", 0o600)
        return bundle

    @classmethod
    def all(cls, state: Path) -> Iterator["Bundle"]:
        for directory in sorted((state / TASKS).glob("*/*")):
            if directory.name.startswith("."):
                shutil.rmtree(directory, ignore_errors=True)
            elif directory.is_dir():
                yield cls(directory.parent.name, directory.name, directory)

    def remove(self) -> None:
        """Gone at once under its name; what a mount keeps busy goes at the next start."""
        trash = self.path.with_name(f".{self.id}.{os.urandom(4).hex()}")
        try:
            self.path.rename(trash)
        except FileNotFoundError:
            return
        shutil.rmtree(trash, ignore_errors=True)

    def save(self, server: Server) -> None:
        draft = self.path / f".{_SHIM}"
        draft.write_text(json.dumps(asdict(server)))
        draft.rename(self.path / _SHIM)

    def server(self) -> Server:
        """NotFound where nobody was to serve it yet."""
        try:
            record = _read(self.path / _SHIM) or {}
            return Server(record["program"], record["address"], Identity(**record["identity"]))
        except (KeyError, TypeError):
            raise errdefs.NotFound(f"bundle {self.path} has no shim") from None

    def exit(self) -> Exit | None:
        record = _read(self.path / _EXIT) or {}
        try:
            return Exit(int(record["pid"]), int(record["status"]), int(record["at"]))
        except (KeyError, TypeError, ValueError):
            return None

    def save_exit(self, ended: Exit) -> None:
        draft = self.path / f".{_EXIT}"
        draft.write_text(json.dumps(asdict(ended)))
        draft.rename(self.path / _EXIT)

    def requested(self) -> bool:
        """Whether our shim has been asked to create the container: it notes with which runtime."""
        return (self.path / _RUNTIME).exists()

    def init_pid(self) -> int:
        """0 where the runtime has not come so far."""
        try:
            return int((self.path / "init.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def cgroups_path(self) -> str:
        """As the OCI document has it, "" where it names none."""
        document = _read(self.path / "config.json") or {}
        return str((document.get("linux") or {}).get("cgroupsPath") or "")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _open_to_mapped_root(path: Path, spec: bytes) -> None:
    """With user namespaces the container's root passes through the bundle to its root file system."""
    if b'"gidMappings"' not in spec:
        return
    mappings = (json.loads(spec).get("linux") or {}).get("gidMappings") or []
    group = next((each["hostID"] for each in mappings if each.get("containerID") == 0), 0)
    if group:
        os.chown(path, -1, group)
        path.chmod(0o710)

"""What a container may be and become: one transition table over one immutable record (pure).

Theory of operation. A container is in exactly one Status. A verb names an edge; `State.after` gives the next record or
raises the error Docker gives for that verb in that status. `restarting` is the pause between an exit and the restart
its policy decided; the API shows it as Running too. `removing` ends in the container's disappearance or in `dead`.
Times are nanoseconds since the epoch. Who may call when (locks, events, files) is engine/'s business.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from protos import errdefs
from services.dockerd.container import stamp


class Status(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


_REST: Final = frozenset({Status.CREATED, Status.EXITED})

EDGES: Final[dict[str, tuple[frozenset[Status], Status]]] = {
    "start": (_REST | {Status.RESTARTING}, Status.RUNNING),
    "fail": (_REST | {Status.RESTARTING}, Status.EXITED),
    "exit": (frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING}), Status.EXITED),
    "retry": (frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING}), Status.RESTARTING),
    "pause": (frozenset({Status.RUNNING}), Status.PAUSED),
    "unpause": (frozenset({Status.PAUSED}), Status.RUNNING),
    "remove": (_REST | {Status.DEAD, Status.RESTARTING}, Status.REMOVING),
    "give_up": (frozenset({Status.REMOVING}), Status.DEAD),
}
"""Verb -> (statuses it may be applied in, status it leads to)."""

_REFUSALS: Final[dict[tuple[str, Status], tuple[type[errdefs.EngineError], str]]] = {
    ("start", Status.RUNNING): (errdefs.NotModified, "container {id} is already running"),
    ("start", Status.PAUSED): (errdefs.Conflict, "cannot start a paused container, try unpause instead"),
    ("start", Status.REMOVING): (errdefs.Conflict, "container is marked for removal and cannot be started"),
    ("start", Status.DEAD): (errdefs.Conflict, "container is marked for removal and cannot be started"),
    ("pause", Status.PAUSED): (errdefs.Conflict, "container {id} is already paused"),
    ("pause", Status.RESTARTING): (
        errdefs.Conflict, "container {id} is restarting, wait until the container is running"),
    ("remove", Status.REMOVING): (errdefs.Conflict, "removal of container {id} is already in progress"),
}


@dataclass(frozen=True, slots=True)
class State:
    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0

    @property
    def running(self) -> bool:
        """A process of it lives (also while paused)."""
        return self.status in (Status.RUNNING, Status.PAUSED)

    @property
    def active(self) -> bool:
        """Docker's `Running`: it lives, or its policy is about to start it again."""
        return self.running or self.status is Status.RESTARTING

    def check(self, verb: str, identity: str) -> None:
        """Raise what Docker answers where `verb` cannot be applied now."""
        allowed, _ = EDGES[verb]
        if self.status in allowed:
            return
        otherwise = "Container {id} is not paused" if verb == "unpause" else "container {id} is not running"
        kind, text = _REFUSALS.get((verb, self.status), (errdefs.Conflict, otherwise))
        raise kind(text.format(id=identity))

    def after(self, verb: str, **changes: Any) -> "State":
        """The record after `verb`; ValueError for an edge that is not in the table."""
        allowed, target = EDGES[verb]
        if self.status not in allowed:
            raise ValueError(f"no edge {verb} from {self.status}")
        return replace(self, status=target, **changes)

    def started(self, pid: int, now: int) -> "State":
        return self.after("start", pid=pid, exit_code=0, error="", oom_killed=False, started_at=now)

    def exited(self, code: int, at: int, *, retry: bool = False, error: str = "") -> "State":
        return self.after("retry" if retry else "exit", pid=0, exit_code=code, finished_at=at, error=error)

    def failed(self, code: int, error: str) -> "State":
        """It could not be started; the times stay as they were, and one that never ran stays `created`."""
        after = self.after("fail", pid=0, exit_code=code, error=error)
        return after if self.started_at else replace(after, status=Status.CREATED)


def to_json(state: State) -> dict[str, Any]:
    """`State` of inspect and of config.v2.json, without Health."""
    return {
        "Status": state.status.value,
        "Running": state.active,
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": stamp.rfc3339(state.started_at),
        "FinishedAt": stamp.rfc3339(state.finished_at),
    }


def from_json(document: dict[str, Any]) -> State:
    """The record of a stored `State`; a file of Docker's own, which has no Status, is understood too."""
    return State(
        status=Status(document.get("Status") or _guess(document)),
        pid=int(document.get("Pid", 0)),
        exit_code=int(document.get("ExitCode", 0)),
        error=str(document.get("Error", "")),
        oom_killed=bool(document.get("OOMKilled", False)),
        started_at=stamp.parse(document.get("StartedAt", stamp.NEVER)),
        finished_at=stamp.parse(document.get("FinishedAt", stamp.NEVER)),
    )


def _guess(document: dict[str, Any]) -> Status:
    flags = (("RemovalInProgress", Status.REMOVING), ("Dead", Status.DEAD), ("Restarting", Status.RESTARTING),
             ("Paused", Status.PAUSED), ("Running", Status.RUNNING))
    for flag, status in flags:
        if document.get(flag):
            return status
    return Status.CREATED if document.get("StartedAt", stamp.NEVER) == stamp.NEVER else Status.EXITED

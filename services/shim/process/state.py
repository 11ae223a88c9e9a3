"""The life of a process of a container, as tables; pure.

Init is created by `runc create` and runs from `start` on; only the container as a whole, that is init, can be paused.
An exec is known (created) before the runtime hears of it. An exit ends every state but deleted.
Deleting is for what has not started or has ended; a kill or an exit never fails for the state it finds.
"""

from enum import Enum
from typing import Final

from protos.containerd.types.task import task_pb2
from protos.errdefs import FailedPrecondition, NotFound


class State(Enum):
    CREATED = task_pb2.CREATED
    RUNNING = task_pb2.RUNNING
    PAUSING = task_pb2.PAUSING
    PAUSED = task_pb2.PAUSED
    STOPPED = task_pb2.STOPPED
    DELETED = task_pb2.UNKNOWN


class Verb(Enum):
    START = "start"
    PAUSE = "pause"
    PAUSED = "finish pausing"
    RESUME = "resume"
    EXEC = "exec in"
    UPDATE = "update"
    EXIT = "exit"
    DELETE = "delete"


_TABLE: Final[dict[Verb, dict[State, State]]] = {
    Verb.START: {State.CREATED: State.RUNNING},
    Verb.PAUSE: {State.RUNNING: State.PAUSING},
    Verb.PAUSED: {State.PAUSING: State.PAUSED},
    Verb.RESUME: {State.PAUSED: State.RUNNING, State.PAUSING: State.RUNNING},
    Verb.EXEC: {each: each for each in (State.RUNNING, State.PAUSED, State.PAUSING)},
    Verb.UPDATE: {each: each for each in (State.CREATED, State.RUNNING, State.PAUSED, State.PAUSING)},
    Verb.EXIT: {each: State.STOPPED for each in State if each is not State.DELETED},
    Verb.DELETE: {State.CREATED: State.DELETED, State.STOPPED: State.DELETED},
}


def after(state: State, verb: Verb, name: str) -> State:
    """The state that `verb` leads to; NotFound for what was deleted, FailedPrecondition where the table has nothing."""
    reached = _TABLE[verb].get(state)
    if reached is not None:
        return reached
    if state is State.DELETED:
        raise NotFound(f"process {name} was deleted: not found")
    raise FailedPrecondition(f"cannot {verb.value} a {state.name.lower()} process {name}")

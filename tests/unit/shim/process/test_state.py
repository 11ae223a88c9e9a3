import pytest

from protos.errdefs import FailedPrecondition, NotFound
from services.shim.process.state import State, Verb, after

LIVE = [State.RUNNING, State.PAUSING, State.PAUSED]


def test_ordinary_life() -> None:
    state = State.CREATED
    for verb in (Verb.START, Verb.PAUSE, Verb.PAUSED, Verb.RESUME, Verb.EXIT, Verb.DELETE):
        state = after(state, verb, "init")
    assert state is State.DELETED


@pytest.mark.parametrize("state", [each for each in State if each is not State.DELETED])
def test_everything_can_exit(state: State) -> None:
    assert after(state, Verb.EXIT, "init") is State.STOPPED


@pytest.mark.parametrize("state", LIVE)
def test_what_lives_is_not_deleted(state: State) -> None:
    with pytest.raises(FailedPrecondition, match="cannot delete a"):
        after(state, Verb.DELETE, "init")


@pytest.mark.parametrize("state", LIVE)
def test_exec_and_update_change_nothing(state: State) -> None:
    assert after(state, Verb.EXEC, "init") is state
    assert after(state, Verb.UPDATE, "init") is state


def test_exec_needs_a_started_container() -> None:
    with pytest.raises(FailedPrecondition, match="cannot exec in a created process init"):
        after(State.CREATED, Verb.EXEC, "init")


def test_second_start_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="cannot start a running process e1"):
        after(State.RUNNING, Verb.START, "e1")


def test_deleted_is_not_found() -> None:
    with pytest.raises(NotFound):
        after(State.DELETED, Verb.START, "e1")

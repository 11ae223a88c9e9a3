import pytest

from protos import errdefs
from services.dockerd.container import state
from services.dockerd.container.state import EDGES, State, Status


def running() -> State:
    return State().started(pid=7, now=100)


def test_a_life_from_start_to_end() -> None:
    lived = running()
    assert lived.running and lived.active and lived.pid == 7
    ended = lived.exited(3, at=200)
    assert (ended.status, ended.exit_code, ended.pid, ended.finished_at) == (Status.EXITED, 3, 0, 200)
    assert ended.started(8, 300).exit_code == 0


def test_a_failed_first_start_stays_created() -> None:
    failed = State().failed(127, "no such command")
    assert (failed.status, failed.exit_code, failed.error) == (Status.CREATED, 127, "no such command")


def test_a_failed_later_start_is_an_exit() -> None:
    assert running().exited(0, 200).failed(127, "gone").status is Status.EXITED


def test_restarting_counts_as_running() -> None:
    waiting = running().exited(1, 200, retry=True)
    assert waiting.active and not waiting.running
    shown = state.to_json(waiting)
    assert shown["Running"] and shown["Restarting"] and shown["Status"] == "restarting"


def test_paused_is_running_too() -> None:
    paused = running().after("pause")
    assert state.to_json(paused)["Running"] and state.to_json(paused)["Paused"]
    assert paused.exited(137, 200).status is Status.EXITED


@pytest.mark.parametrize(
    ("verb", "status", "kind"),
    [
        ("start", Status.RUNNING, errdefs.NotModified),
        ("start", Status.PAUSED, errdefs.Conflict),
        ("start", Status.DEAD, errdefs.Conflict),
        ("pause", Status.EXITED, errdefs.Conflict),
        ("pause", Status.PAUSED, errdefs.Conflict),
        ("unpause", Status.RUNNING, errdefs.Conflict),
        ("remove", Status.REMOVING, errdefs.Conflict),
    ],
)
def test_refusals_name_the_container(verb: str, status: Status, kind: type[errdefs.EngineError]) -> None:
    with pytest.raises(kind):
        State(status).check(verb, "abc")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.EXITED, Status.CREATED])
def test_what_is_not_paused_is_told_so(status: Status) -> None:
    with pytest.raises(errdefs.Conflict, match="Container abc is not paused"):
        State(status).check("unpause", "abc")


def test_edges_outside_the_table_are_errors() -> None:
    for verb, (allowed, _) in EDGES.items():
        for status in set(Status) - allowed:
            with pytest.raises(ValueError, match="no edge"):
                State(status).after(verb)


def test_json_is_read_back() -> None:
    for each in (State(), running(), running().after("pause"), running().exited(5, 9, error="x")):
        assert state.from_json(state.to_json(each)) == each


def test_a_file_without_status_is_understood() -> None:
    read = state.from_json({"Running": True, "Pid": 3, "StartedAt": "2024-05-01T10:00:00Z"})
    assert read.status is Status.RUNNING
    assert state.from_json({"StartedAt": "2024-05-01T10:00:00Z"}).status is Status.EXITED
    assert state.from_json({}).status is Status.CREATED

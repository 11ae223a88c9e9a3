from dataclasses import replace
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.container import view
from services.dockerd.container.container import Container, Health
from services.dockerd.container.view import Entry, View
from tests.unit.dockerd.container import made

ROOT = Path("/nowhere")
SECOND = 1_000_000_000


@pytest.fixture
def index() -> View:
    index = View(lambda container: Entry(container.name.encode(), b"", b""))
    for number, identity in enumerate(("aa11", "aa22", "bb33")):
        index.add(made.container(ROOT, identity.ljust(64, "0"), f"box{number}", created=number))
    return index


def test_found_by_id_name_and_prefix(index: View) -> None:
    for reference in ("aa11".ljust(64, "0"), "box0", "/box0", "aa1"):
        assert index.get(reference).name == "box0"


def test_a_name_goes_before_a_prefix(index: View) -> None:
    index.add(made.container(ROOT, "c" * 64, "bb3"))
    assert index.get("bb3").id == "c" * 64


def test_an_ambiguous_prefix_is_said(index: View) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="Multiple IDs found with provided prefix: aa"):
        index.get("aa")


@pytest.mark.parametrize("reference", ["nobody", "", "aa3", "box"])
def test_unknown_is_not_found(index: View, reference: str) -> None:
    with pytest.raises(errdefs.NotFound, match=f"No such container: {reference}"):
        index.get(reference)


def test_a_taken_name_is_a_conflict(index: View) -> None:
    with pytest.raises(errdefs.Conflict, match='The container name "/box0" is already in use by container "aa11'):
        index.reserve("box0", "d" * 64)


def test_a_removed_container_frees_its_name(index: View) -> None:
    gone = index.get("box0")
    index.remove(gone)
    index.remove(gone)
    assert len(index) == 2 and not index.taken("box0")
    assert [each.name for each in index.newest_first()] == ["box2", "box1"]


def test_entries_are_made_once_a_change(index: View) -> None:
    box = index.get("box0")
    first = index.entry(box)
    assert index.entry(box) is first
    box.name = "other"
    index.refresh(box)
    assert index.entry(box).head == b"other"


def shown(box: Container) -> str:
    return view.status(box, 100 * SECOND)


def test_status_texts() -> None:
    box = made.container(ROOT)
    assert shown(box) == "Created"
    box.state = box.state.started(1, 40 * SECOND)
    assert shown(box) == "Up About a minute"
    box.health = Health()
    assert shown(box) == "Up About a minute (health: starting)"
    box.health.status = "unhealthy"
    assert shown(box) == "Up About a minute (unhealthy)"
    box.state = box.state.after("pause")
    assert shown(box) == "Up About a minute (Paused)"
    box.state = replace(box.state).exited(3, 97 * SECOND, retry=True)
    assert shown(box) == "Restarting (3) 3 seconds ago"
    box.state = box.state.exited(3, 97 * SECOND)
    assert shown(box) == "Exited (3) 3 seconds ago"
    box.state = box.state.after("remove")
    assert shown(box) == "Removal In Progress"
    box.state = box.state.after("give_up")
    assert shown(box) == "Dead"

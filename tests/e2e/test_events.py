"""`docker events`: what is told, in which order, and since when."""

import json
import time

import pytest

from tests.harness.cli import Docker, end
from tests.harness.http import API


def told(docker: Docker, since: float, *filters: str) -> list[str]:
    """type action name, of all that happened since."""
    time.sleep(0.05)
    words = ["events", "--since", f"{since:.9f}", "--until", f"{time.time():.9f}", "--format", "{{json .}}"]
    rows = docker.ok(*words, *(word for one in filters for word in ("--filter", one))).splitlines()
    return [f"{row['Type']} {row['Action']}" for row in map(json.loads, rows)]


def test_a_containers_life(docker: Docker, name: str) -> None:
    since = time.time()
    docker("run", "--name", name, "busybox", "true")
    docker.ok("rm", name)
    events = told(docker, since)
    assert [event for event in events if event.startswith("container")] == [
        "container create",
        "container attach",
        "container start",
        "container die",
        "container destroy",
    ]
    assert events.index("network connect") < events.index("container start")
    assert "network disconnect" in events


def test_verbs_have_their_events(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--init", "--name", name, "busybox", "sleep", "600")
    since = time.time()
    docker.ok("pause", name)
    docker.ok("unpause", name)
    docker.ok("exec", name, "true")
    docker.ok("rename", name, f"{name}-b")
    docker.ok("update", "-m", "64m", "--memory-swap", "64m", f"{name}-b")
    docker.ok("restart", "-t", "9", f"{name}-b")
    docker.ok("kill", f"{name}-b")
    docker.ok("wait", f"{name}-b")
    actions = [event.removeprefix("container ") for event in told(docker, since, "type=container")]
    assert actions[:2] == ["pause", "unpause"]
    assert [action.split(":")[0] for action in actions[2:5]] == ["exec_create", "exec_start", "exec_die"]
    assert actions[2].strip() == "exec_create: true"
    assert actions[5:7] == ["rename", "update"]
    assert actions[7:] == ["kill", "die", "stop", "start", "restart", "kill", "die"]


def test_attributes(api: API) -> None:
    since = time.time()
    box = api.create("sh", "-c", "exit 3", name="attributes", Labels={"team": "blue"})
    api.start(box)
    api("POST", f"/containers/{box}/wait")
    time.sleep(0.1)
    body = api(
        "GET", "/events", since=f"{since:.9f}", until=f"{time.time():.9f}", filters={"event": {"die": True}}
    ).body
    (event,) = map(json.loads, body.splitlines())
    assert (event["Type"], event["Action"], event["status"], event["id"], event["from"]) == (
        "container",
        "die",
        "die",
        box,
        "busybox",
    )
    attributes = event["Actor"]["Attributes"]
    assert (attributes["exitCode"], attributes["name"], attributes["image"], attributes["team"]) == (
        "3",
        "attributes",
        "busybox",
        "blue",
    )
    assert event["Actor"]["ID"] == box and event["scope"] == "local"
    assert abs(event["time"] - since) < 60 and event["timeNano"] // 10**9 == event["time"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["event=start"], {"container start"}),
        (["event=start", "event=die"], {"container start", "container die"}),
        (["type=network", "event=connect"], {"network connect"}),
        (["label=mark=1", "event=create"], {"container create"}),
        (["label=mark=2"], set()),
        (["image=busybox", "event=create"], {"container create"}),
        (["container=filtered", "event=destroy"], {"container destroy"}),
        (["container=another"], set()),
    ],
)
def test_filters(docker: Docker, chosen: list[str], expected: set[str]) -> None:
    since = time.time()
    docker("run", "--name", "filtered", "-l", "mark=1", "busybox", "true")
    docker.ok("rm", "filtered")
    assert set(told(docker, since, *chosen)) == expected


def test_they_come_as_they_happen(docker: Docker, name: str) -> None:
    child = docker.start(
        "events", "--since", f"{time.time():.9f}", "--filter", f"container={name}", "--format", "{{.Action}}"
    )
    try:
        docker.ok("create", "--name", name, "busybox", "true")
        assert child.stdout and child.stdout.readline() == b"create\n"
        docker.ok("start", name)
        assert child.stdout.readline() == b"start\n"
        assert child.stdout.readline() == b"die\n"
    finally:
        end(child)


def test_volumes_networks_images(docker: Docker) -> None:
    since = time.time()
    docker.ok("volume", "create", "v1")
    docker.ok("run", "--rm", "-v", "v1:/v", "busybox", "true")
    docker.ok("volume", "rm", "v1")
    docker.ok("tag", "busybox", "other:1")
    docker.ok("rmi", "other:1")
    events = told(docker, since)
    for event in ("volume create", "volume mount", "volume unmount", "volume destroy", "image tag", "image untag"):
        assert event in events


def test_nonsense_times_are_refused(api: API) -> None:
    assert api("GET", "/events", since="yesterday").status in (400, 500)
    assert api("GET", "/events", since="200", until="100").status == 400


def test_events_are_flushed_and_chunked(api: API) -> None:
    with api.stream("GET", "/events") as stream:
        assert stream.status == 200 and "transfer-encoding: chunked" in stream.head.lower()
        box = api.create("true")
        assert box.encode() in stream.until(b'"Action":"create"')

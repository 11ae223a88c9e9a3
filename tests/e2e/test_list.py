"""`docker ps` with its filters, `inspect`, `top`, `port`, and the lists behind them."""

import re

import pytest

from tests.harness.cli import Docker
from tests.harness.http import API
from tests.harness.wait import until

ALIVE = ("-l", "kind=b", "-v", "data:/data", "--expose", "8080")


@pytest.fixture
def boxes(docker: Docker) -> dict[str, str]:
    """Four containers: created, running, exited 0, exited 3."""
    made = {
        "made": docker.ok("create", "--name", "made", "-l", "kind=a", "busybox", "true"),
        "alive": docker.ok("run", "-d", "--name", "alive", *ALIVE, "busybox", "sleep", "600"),
        "done": docker.ok("run", "-d", "--name", "done", "-l", "kind=b", "-l", "more", "busybox", "true"),
        "failed": docker.ok("run", "-d", "--name", "failed", "busybox", "sh", "-c", "exit 3"),
    }
    docker.ok("wait", "done", "failed")
    return made


def names(docker: Docker, *filters: str) -> set[str]:
    words = [word for one in filters for word in ("--filter", one)]
    return set(docker.ok("ps", "-a", "--format", "{{.Names}}", *words).split())


def test_ps_shows_what_runs(docker: Docker, boxes: dict[str, str]) -> None:
    head, *rows = docker.ok("ps").splitlines()
    assert head.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert len(rows) == 1
    assert re.match(rf'{boxes["alive"][:12]} +busybox +"sleep 600" +\S.* ago +Up .* +alive$', rows[0])


def test_ps_all_in_order_of_age(docker: Docker, boxes: dict[str, str]) -> None:
    assert docker.ok("ps", "-a", "--format", "{{.Names}}").split() == ["failed", "done", "alive", "made"]
    assert docker.ok("ps", "-aq", "--no-trunc").split() == [boxes[key] for key in ("failed", "done", "alive", "made")]


def test_ps_statuses(docker: Docker, boxes: dict[str, str]) -> None:
    rows = docker.ok("ps", "-a", "--format", "{{.Names}}={{.Status}}={{.State}}").splitlines()
    status = {row.split("=")[0]: row.split("=")[1:] for row in rows}
    assert status["made"] == ["Created", "created"]
    assert status["alive"][0].startswith("Up ") and status["alive"][1] == "running"
    assert re.match(r"Exited \(0\) .* ago", status["done"][0]) and status["done"][1] == "exited"
    assert re.match(r"Exited \(3\) .* ago", status["failed"][0])


def test_ps_last(docker: Docker, boxes: dict[str, str]) -> None:
    assert docker.ok("ps", "-l", "--format", "{{.Names}}") == "failed"
    assert docker.ok("ps", "-n", "2", "--format", "{{.Names}}").split() == ["failed", "done"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (["status=running"], {"alive"}),
        (["status=created"], {"made"}),
        (["status=exited", "status=created"], {"done", "failed", "made"}),
        (["exited=3"], {"failed"}),
        (["exited=0"], {"done"}),
        (["label=kind"], {"made", "alive", "done"}),
        (["label=kind=b"], {"alive", "done"}),
        (["label=kind=b", "label=more"], {"done"}),
        (["name=a"], {"made", "alive", "failed"}),
        (["name=^alive$"], {"alive"}),
        (["name=alive", "name=done"], {"alive", "done"}),
        (["before=alive"], {"made"}),
        (["since=alive"], {"done", "failed"}),
        (["ancestor=busybox"], {"made", "alive", "done", "failed"}),
        (["ancestor=nothing"], set()),
        (["volume=data"], {"alive"}),
        (["volume=/data"], {"alive"}),
        (["network=bridge", "status=running"], {"alive"}),
        (["network=host"], set()),
        (["expose=8080"], {"alive"}),
        (["health=none", "status=running"], {"alive"}),
        (["status=running", "exited=3"], set()),
    ],
)
def test_filters(docker: Docker, boxes: dict[str, str], chosen: list[str], found: set[str]) -> None:
    assert names(docker, *chosen) == found


def test_filter_by_id(docker: Docker, boxes: dict[str, str]) -> None:
    assert names(docker, f"id={boxes['done'][:10]}") == {"done"}


def test_filter_by_published_port(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "open", "-p", "18080:80", "busybox", "sleep", "60")
    assert names(docker, "publish=18080") == {"open"}
    assert names(docker, "publish=18081") == set()
    row = docker.ok("ps", "--format", "{{.Ports}}")
    assert "0.0.0.0:18080->80/tcp" in row


def test_bad_filters_are_refused(docker: Docker) -> None:
    assert "nosuch" in docker.fails("ps", "--filter", "nosuch=1", code=1)
    assert "status" in docker.fails("ps", "--filter", "status=asleep", code=1)
    assert "not-there" in docker.fails("ps", "--filter", "before=not-there", code=1)


def test_filters_that_are_no_json(api: API) -> None:
    assert api("GET", "/containers/json", filters="{broken").status in (400, 500)
    assert api("GET", "/v1.24/containers/json", filters='{"label":["a=b"]}').status == 200


def test_sizes(docker: Docker) -> None:
    docker("run", "--name", "big", "busybox", "sh", "-c", "head -c 300000 /dev/zero > /file")
    assert re.match(r"300kB \(virtual ", docker.ok("ps", "-a", "-s", "--format", "{{.Size}}"))
    assert docker.ok("inspect", "-s", "--format", "{{.SizeRw}}", "big") == "300000"


def test_a_list_entrys_fields(api: API) -> None:
    box = api.create("sleep", "60", name="fields", Labels={"a": "b"})
    api.start(box)
    (entry,) = api.get("/containers/json")
    assert entry["Id"] == box and entry["Names"] == ["/fields"] and entry["Command"] == "sleep 60"
    assert entry["Image"] == "busybox" and entry["ImageID"].startswith("sha256:") and isinstance(entry["Created"], int)
    assert (
        entry["Labels"] == {"a": "b"} and entry["State"] == "running" and entry["Ports"] == [] and entry["Mounts"] == []
    )
    bridge = entry["NetworkSettings"]["Networks"]["bridge"]
    assert bridge["IPAddress"].startswith("172.") and bridge["NetworkID"] == api.get("/networks/bridge")["Id"]
    assert entry["HostConfig"]["NetworkMode"] in ("default", "bridge")


def test_inspect_has_dockers_shape(api: API) -> None:
    box = api.create("sleep", "60", name="shape")
    api.start(box)
    info = api.get(f"/containers/{box}/json")
    top = "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver"
    more = (
        "Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"
    )
    assert set(f"{top} {more}".split()) <= set(info)
    state = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
    assert set(state.split()) <= set(info["State"])
    assert (info["Path"], info["Args"], info["Name"]) == ("sleep", ["60"], "/shape")
    assert info["State"]["Status"] == "running" and info["State"]["Pid"] > 1
    assert info["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    network = info["NetworkSettings"]
    assert (
        network["Networks"]["bridge"]["Gateway"] == "172.17.0.1" and network["Networks"]["bridge"]["IPPrefixLen"] == 16
    )
    assert info["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
    assert info["Config"]["Image"] == "busybox" and info["Image"].startswith("sha256:")


def test_what_inspect_says_create_takes(api: API) -> None:
    """Recreating tools pass it on unchanged."""
    box = api.create("sleep", "60", HostConfig={"Binds": ["data:/data"], "Memory": 32 << 20}, Env=["A=b"])
    info = api.get(f"/containers/{box}/json")
    again = {**info["Config"], "HostConfig": info["HostConfig"], "NetworkingConfig": {"EndpointsConfig": {}}}
    reply = api("POST", "/containers/create", again)
    assert reply.status == 201
    copy = api.get(f"/containers/{reply.json['Id']}/json")
    assert copy["HostConfig"] == info["HostConfig"]
    assert copy["Config"] == info["Config"]


def test_inspect_by_name_and_prefix(docker: Docker, boxes: dict[str, str]) -> None:
    for reference in ("alive", "/alive", boxes["alive"], boxes["alive"][:12], boxes["alive"][:6]):
        assert docker.inspect(reference, "{{.Id}}") == boxes["alive"]


def test_inspect_finds_images_too(docker: Docker) -> None:
    assert docker.ok("inspect", "--format", "{{index .RepoTags 0}}", "busybox") == "busybox:latest"


def test_inspect_of_several_goes_on_after_a_miss(docker: Docker, boxes: dict[str, str]) -> None:
    result = docker("inspect", "--format", "{{.Name}}", "made", "not-there", "done")
    assert (result.code, result.out.split()) == (1, ["/made", "/done"])
    assert "No such object: not-there" in result.err


def test_ambiguous_prefixes_are_refused(docker: Docker, api: API) -> None:
    seen: dict[str, str] = {}
    for _ in range(40):
        box = api.create("true")
        if box[0] in seen:
            break
        seen[box[0]] = box
    reply = api("GET", f"/containers/{box[0]}/json")
    assert (
        reply.status
        in (
            400,
            404,
            409,
            500,
        )
        and "multiple ids found with provided prefix" in reply.message.lower()
    )


def test_top(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 600 & sleep 601")
    head, *_ = docker.ok("top", name).splitlines()
    assert head.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    until(lambda: any(row.endswith("sleep 600") for row in docker.ok("top", name).splitlines()), "both are shown")


def test_top_with_options(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    assert docker.ok("top", name, "-o", "pid,comm").splitlines()[0].split() == ["PID", "COMMAND"]


def test_top_of_a_stopped_container(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox")
    assert "is not running" in docker.fails("top", name, code=1)


def test_port(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18081:80", "-p", "127.0.0.1:18082:81/udp", "busybox", "sleep", "60")
    lines = docker.ok("port", name).splitlines()
    assert "80/tcp -> 0.0.0.0:18081" in lines and "81/udp -> 127.0.0.1:18082" in lines
    assert "0.0.0.0:18081" in docker.ok("port", name, "80").splitlines()
    assert "no public port '99" in docker.fails("port", name, "99").lower()

"""version, info, ping, and the negotiation of API versions."""

import re

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API


def test_version_prints_client_and_server(docker: Docker) -> None:
    out = docker.ok("version")
    assert "Client:" in out and "Server:" in out
    assert docker.ok("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").startswith("linux/")


def test_version_names_components(docker: Docker) -> None:
    names = docker.ok("version", "--format", "{{range .Server.Components}}{{.Name}} {{end}}").split()
    assert {"Engine", "containerd", "runc", "docker-init"} <= set(names)


def test_info_counts_containers(docker: Docker) -> None:
    assert docker.ok("info", "--format", "{{.Containers}} {{.ContainersRunning}}") == "0 0"
    docker.ok("create", "busybox")
    docker.ok("run", "-d", "busybox", "sleep", "60")
    assert docker.ok("info", "--format", "{{.Containers}} {{.ContainersRunning}}") == "2 1"


def test_info_names_its_roots(docker: Docker, engine: Engine) -> None:
    assert docker.ok("info", "--format", "{{.DockerRootDir}}") == str(engine.data)
    assert "runc" in docker.ok("info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}").split()


def test_info_tells_the_swarm_is_inactive(docker: Docker) -> None:
    assert docker.ok("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive"
    assert docker.ok("info", "--format", "{{.LoggingDriver}} {{.CgroupDriver}}") == "json-file cgroupfs"


def test_info_as_a_person_reads_it(docker: Docker) -> None:
    out = docker.ok("info")
    for line in (
        "Server Version:",
        "Storage Driver:",
        "Kernel Version:",
        "Total Memory:",
        "seccomp",
        "Docker Root Dir:",
    ):
        assert line in out


@pytest.mark.parametrize("path", ["/_ping", "/v1.24/_ping", "/v1.41/_ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping_answers(api: API, method: str, path: str) -> None:
    reply = api(method, path)
    assert reply.status == 200
    assert reply.body == (b"OK" if method == "GET" else b"")
    assert reply.headers["api-version"] and reply.headers["ostype"] == "linux"
    assert reply.headers["docker-experimental"] == "false"
    assert "no-cache" in reply.headers["cache-control"] and reply.headers["pragma"] == "no-cache"
    assert reply.headers["server"].startswith("Docker/")


def test_paths_work_with_and_without_version(api: API) -> None:
    highest = api("GET", "/_ping").headers["api-version"]
    for path in ("/version", "/v1.24/version", f"/v{highest}/version"):
        assert api.get(path)["ApiVersion"] == highest


@pytest.mark.ours
def test_versions_range_from_24_to_51(api: API) -> None:
    version = api.get("/version")
    assert (version["MinAPIVersion"], version["ApiVersion"]) == ("1.24", "1.51")
    for minor in range(24, 52):
        assert api.get(f"/v1.{minor}/containers/json") == []


def test_too_old_a_version_is_refused(api: API) -> None:
    lowest = api.get("/version")["MinAPIVersion"]
    reply = api("GET", "/v1.10/containers/json")
    assert reply.status == 400
    assert reply.message.startswith(f"client version 1.10 is too old. Minimum supported API version is {lowest}")


def test_too_new_a_version_is_refused(api: API) -> None:
    highest = api.get("/version")["ApiVersion"]
    reply = api("GET", "/v1.99/containers/json")
    assert reply.status == 400
    assert reply.message.startswith(f"client version 1.99 is too new. Maximum supported API version is {highest}")


def test_unknown_paths_are_not_found(api: API) -> None:
    reply = api("GET", "/no/such/path")
    assert (reply.status, reply.message) == (404, "page not found")


def test_the_cli_names_an_unknown_object(docker: Docker) -> None:
    assert re.search(r"No such object: nothing-here", docker.fails("inspect", "nothing-here", code=1))


def test_socket_belongs_to_group_docker(engine: Engine) -> None:
    assert engine.socket.stat().st_mode & 0o777 == 0o660


def test_disk_usage_is_told(docker: Docker) -> None:
    lines = docker.ok("system", "df").splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["TYPE", "Images", "Containers"]

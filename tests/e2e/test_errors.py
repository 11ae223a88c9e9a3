"""Bad input: Docker's status and text, nothing left behind, the daemon lives on."""

import json
import re
from typing import Any

import pytest

from tests.harness import leftovers
from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until


@pytest.fixture(autouse=True)
def alive(engine: Engine):  # type: ignore[no-untyped-def]
    """Whatever a test did: the daemon is the same process, and nothing is left."""
    pid = engine.pid
    before = len(engine.api.get("/containers/json", all=1))
    yield
    assert engine.pid == pid and engine.api("GET", "/_ping").status == 200
    for container in engine.api.get("/containers/json", all=1):
        engine.api("DELETE", f"/containers/{container['Id']}", force=1)
    assert before == 0


def test_a_missing_image(api: API) -> None:
    reply = api("POST", "/containers/create", {"Image": "not-there:1"})
    assert (reply.status, reply.message) == (404, "No such image: not-there:1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/{}/json"),
        ("POST", "/containers/{}/start"),
        ("POST", "/containers/{}/stop"),
        ("POST", "/containers/{}/kill"),
        ("POST", "/containers/{}/restart"),
        ("POST", "/containers/{}/pause"),
        ("POST", "/containers/{}/unpause"),
        ("POST", "/containers/{}/wait"),
        ("POST", "/containers/{}/rename?name=x1"),
        ("POST", "/containers/{}/resize?h=1&w=1"),
        ("POST", "/containers/{}/exec"),
        ("GET", "/containers/{}/top"),
        ("GET", "/containers/{}/logs?stdout=1"),
        ("GET", "/containers/{}/stats?stream=0"),
        ("GET", "/containers/{}/changes"),
        ("GET", "/containers/{}/archive?path=/"),
        ("DELETE", "/containers/{}"),
    ],
)
def test_a_missing_container(api: API, method: str, path: str) -> None:
    body = {"Cmd": ["true"]} if path.endswith("exec") else None
    reply = api(method, path.format("not-there"), body)
    assert reply.status == 404 and reply.message.endswith("No such container: not-there")


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/images/not-there/json", "No such image: not-there"),
        ("GET", "/images/not-there/history", "No such image: not-there"),
        ("DELETE", "/images/not-there", "No such image: not-there"),
        ("GET", "/networks/not-there", "network not-there not found"),
        ("GET", "/volumes/not-there", "get not-there: no such volume"),
        ("DELETE", "/volumes/not-there", "get not-there: no such volume"),
        ("GET", "/exec/not-there/json", "No such exec instance: not-there"),
    ],
)
def test_other_missing_things(api: API, method: str, path: str, text: str) -> None:
    reply = api(method, path)
    assert reply.status == 404 and text.lower() in reply.message.lower()


def test_a_missing_command_is_127(docker: Docker, name: str) -> None:
    result = docker("run", "--name", name, "busybox", "no-such-command")
    assert result.code == 127
    assert 'exec: "no-such-command": executable file not found in $PATH' in result.err
    assert docker.inspect(name, "{{.State.ExitCode}} {{.State.Status}}") == "127 created"
    assert "no-such-command" in docker.inspect(name, "{{.State.Error}}")


def test_what_is_not_executable_is_126(docker: Docker, name: str) -> None:
    result = docker("run", "--name", name, "busybox", "/etc/passwd")
    assert result.code == 126 and "permission denied" in result.err
    assert docker.inspect(name, "{{.State.ExitCode}}") == "126"
    assert docker("run", "--rm", "busybox", "/etc").code == 126


def test_an_unknown_image_is_125(docker: Docker) -> None:
    result = docker("run", "--pull", "never", "not-there:1", "true")
    assert result.code == 125 and "No such image: not-there:1" in result.err


def test_no_command_at_all(api: API, docker: Docker) -> None:
    from tests.harness import images

    docker.ok("load", stdin=images.docker_archive("empty:1", {}))
    reply = api("POST", "/containers/create", {"Image": "empty:1"})
    assert reply.status == 400 and reply.message.lower() == "no command specified"
    docker.ok("rmi", "empty:1")


def test_a_name_in_use(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "busybox")
    text = docker.fails("create", "--name", name, "busybox", code=1)
    wanted = f'Conflict. The container name "/{name}" is already in use by container "{container}". '
    assert wanted + "You have to remove (or rename) that container to be able to reuse that name." in text


@pytest.mark.parametrize("bad", ["-x", "a", "a/b", "ü1", "a b", "_x"])
def test_bad_names(api: API, bad: str) -> None:
    reply = api("POST", "/containers/create", {"Image": "busybox"}, name=bad)
    assert reply.status == 400
    assert reply.message == f"Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"


def test_removing_what_runs(api: API) -> None:
    box = api.create("sleep", "60", name="runs")
    api.start(box)
    reply = api("DELETE", f"/containers/{box}")
    assert reply.status == 409 and re.search("running container|is running", reply.message)


@pytest.mark.parametrize(
    "host",
    [
        {"Memory": -5},
        {"Memory": 1000},
        {"NanoCpus": -1},
        {"NanoCpus": 10**15},
        {"CpusetCpus": "0-999"},
        {"CpusetCpus": "a"},
        {"ShmSize": -1},
        pytest.param({"PidMode": "sideways"}, marks=pytest.mark.ours),
        {"IpcMode": "sideways"},
        pytest.param({"UTSMode": "sideways"}, marks=pytest.mark.ours),
        {"NetworkMode": "container:"},
        {"IpcMode": "container:not-there"},
        {"PidMode": "container:not-there"},
        {"RestartPolicy": {"Name": "sometimes"}},
        {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}},
        {"LogConfig": {"Type": "nosuch"}},
        {"LogConfig": {"Type": "json-file", "Config": {"max-size": "huge"}}},
        {"Binds": ["/a:/b:/c:/d"]},
        {"Binds": ["relative/path:/b"]},
        {"Binds": ["/a:b"]},
        {"Mounts": [{"Type": "nosuch", "Target": "/x"}]},
        {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "relative"}]},
        {"Mounts": [{"Type": "bind", "Source": "/no/such/place", "Target": "/x"}]},
        {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}},
        pytest.param({"PortBindings": {"80/nosuch": [{"HostPort": "1"}]}}, marks=pytest.mark.ours),
        {"PortBindings": {"banana": [{"HostPort": "1"}]}},
        {"CapAdd": ["FLY"]},
        {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
        {"OomScoreAdj": 5000},
        {"Runtime": "nosuch"},
        {"Isolation": "hyperv"},
        {"ReadonlyPaths": "no list"},
    ],
    ids=lambda host: json.dumps(host),
)
def test_bad_host_configs(api: API, host: dict[str, Any]) -> None:
    """Refused at create, or at start at the latest; never 2xx on both, never a stack trace."""
    reply = api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": host})
    if reply.status == 201:
        reply = api("POST", f"/containers/{reply.json['Id']}/start")
    assert reply.status in (400, 404, 409, 500), reply
    assert reply.message and "Traceback" not in reply.message


@pytest.mark.parametrize(
    "config",
    [
        {"StopSignal": "SIGNONSENSE"},
        {"WorkingDir": "relative"},
        pytest.param({"ExposedPorts": {"banana": {}}}, marks=pytest.mark.ours),
        {"Hostname": "x" * 300},
        {"User": "no-such-user"},
        {"Cmd": {"not": "a list"}},
        {"Env": "A=B"},
        {"Labels": ["a"]},
        pytest.param({"Volumes": {"relative": {}}}, marks=pytest.mark.ours),
    ],
    ids=lambda config: json.dumps(config)[:40],
)
def test_bad_configs(api: API, config: dict[str, Any]) -> None:
    reply = api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], **config})
    if reply.status == 201:
        reply = api("POST", f"/containers/{reply.json['Id']}/start")
    assert reply.status in (400, 404, 409, 500), reply
    assert reply.message and "Traceback" not in reply.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}" + b" " * 10])
def test_bodies_that_are_no_config(api: API, body: bytes) -> None:
    reply = api("POST", "/containers/create", body, {"Content-Type": "application/json"})
    assert reply.status in (400, 500) and reply.message


def test_a_body_of_another_kind(api: API) -> None:
    reply = api("POST", "/containers/create", b"Image=busybox", {"Content-Type": "text/plain"})
    assert reply.status in (400, 415, 500)
    assert "Content-Type" in reply.message


@pytest.mark.parametrize("filters", ["{", "[]", '"a"', '{"label": 5}', '{"nosuch": {"a": true}}'])
@pytest.mark.parametrize("path", ["/containers/json", "/images/json", "/volumes", "/networks", "/events"])
def test_bad_filters(api: API, path: str, filters: str) -> None:
    if path == "/events" and "nosuch" in filters:
        pytest.skip("Docker takes unknown filters of events, and ignores them")
    reply = api("GET", path, filters=filters, since=1, until=2)
    assert reply.status in (400, 500), (path, filters, reply)


@pytest.mark.parametrize("query", ["limit=x", "all=maybe", "size=2x"])
def test_odd_numbers_and_booleans(api: API, query: str) -> None:
    """Docker takes any word but 0, no, false, none and the empty one for true; a number must be one."""
    reply = api("GET", f"/containers/json?{query}")
    assert reply.status == (500 if query.startswith("limit") else 200) or (
        query.startswith("limit") and reply.status == 400
    )


def test_units(docker: Docker) -> None:
    assert "invalid size: 'lots'" in docker.fails("run", "-m", "lots", "busybox", "true", code=125)
    assert "memory" in docker.fails("run", "-m", "3m", "busybox", "true", code=125).lower()


def test_wrong_methods(api: API) -> None:
    assert api("DELETE", "/containers/json").status in (404, 405)
    assert api("PUT", "/version").status in (404, 405)


def test_http_that_is_none(engine: Engine, api: API) -> None:
    for junk in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"NONSENSE / HTTP/9.9\r\n\r\n"):
        from tests.harness.http import dial

        with dial(str(engine.socket)) as sock:
            sock.sendall(junk)
            answer = sock.recv(4096)
        assert answer == b"" or re.match(rb"HTTP/1\.[01] (400|404|405|505)", answer), answer


def test_a_signal_out_of_range(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    for signal in ("0", "99", "-1", "SIGFOO"):
        reply = api("POST", f"/containers/{box}/kill", signal=signal)
        assert reply.status in (400, 500) or (signal == "0" and reply.status == 204), (signal, reply)


@pytest.mark.ours
@pytest.mark.parametrize("path", ["/swarm", "/services", "/nodes", "/secrets", "/configs", "/tasks"])
def test_swarm_is_told_to_be_off(api: API, path: str) -> None:
    reply = api("GET", path)
    assert reply.status in (501, 503) and reply.message


@pytest.mark.ours
@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("POST", "/build", "docker load"), ("POST", "/swarm/init", "one engine"),
        ("POST", "/plugins/pull", "/run/docker/plugins"), ("GET", "/containers/x/checkpoints", "docker commit"),
        ("POST", "/containers/x/checkpoints", "docker commit"),
    ],
)
def test_what_is_not_there_names_what_is(api: API, method: str, path: str, instead: str) -> None:
    reply = api(method, path, {"Name": "x"})
    assert reply.status == 501 and instead in reply.message


def test_a_start_from_a_checkpoint_is_refused(api: API) -> None:
    box = api.create("sleep", "60")
    assert api("POST", f"/containers/{box}/start", checkpoint="c1").status == 400
    assert api("GET", f"/containers/{box}/json").json["State"]["Status"] == "created"


def test_a_start_that_fails_leaves_nothing(docker: Docker, engine: Engine, name: str) -> None:
    links = engine.network.ip("-o", "link").count("\n")
    docker.fails("run", "--name", name, "-p", "18950:80", "busybox", "no-such-command", code=127)
    until(lambda: engine.network.ip("-o", "link").count("\n") <= links, "the link is gone")
    engine.network.listen("0.0.0.0", 18950).close()
    assert docker.inspect(name, "{{.State.Pid}} {{.NetworkSettings.Networks.bridge.IPAddress}}").strip() == "0"
    docker.ok("rm", name)


@pytest.mark.ours
@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ({"IPAM": {"Config": [{"Subnet": "999"}]}}, 400, "invalid network config:\ninvalid subnet 999: invalid CIDR"),
        ({"IPAM": {"Config": [{"Subnet": "10.60.0.5/24"}]}}, 400, "invalid subnet 10.60.0.5/24: it should be"),
        ({"IPAM": {"Config": [{"Subnet": "10.60.0.0/24", "Gateway": "10.61.0.1"}]}}, 400, "invalid gateway 10.61.0.1"),
        ({"IPAM": {"Config": [{"Subnet": "10.60.0.0/24"}, {"Subnet": "10.61.0.0/24"}]}}, 403,
         "bridge driver doesn't support multiple subnets"),
        ({"IPAM": {"Config": [{"Subnet": "172.17.0.0/24"}]}}, 403, "Pool overlaps with other one"),
        ({"IPAM": {"Driver": "nosuch"}}, 404, "nosuch"),
        ({"Driver": "nosuch"}, 404, "could not find plugin nosuch in v1 plugin registry: plugin not found"),
        ({"Driver": "host"}, 403, 'only one instance of "host" network is allowed'),
        ({"Name": "bridge"}, 403, "operation is not permitted on predefined bridge network"),
        ({"Name": ""}, 400, "network name"),
        ({"EnableIPv4": False}, 400, "IPv4 or IPv6 must be enabled"),
        ({"Options": {"com.docker.network.bridge.enable_icc": "maybe"}}, 400, "strconv.ParseBool"),
        ({"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "open"}}, 400, "unknown gateway mode open"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_networks_that_cannot_be(api: API, engine: Engine, asked: dict[str, Any], status: int, text: str) -> None:
    links = leftovers.links(engine.network)
    reply = api("POST", "/networks/create", {"Name": "apps", **asked})
    assert (reply.status, text in reply.message) == (status, True), reply
    assert len(api.get("/networks")) == 3 and set(leftovers.links(engine.network)) <= set(links)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--ipc", "container:not-there"), "No such container: not-there"),
        (("--pid", "container:not-there"), "No such container: not-there"),
        (("--network", "container:"), "invalid container format container:<name|id>"),
        (("--network", "host", "--network", "bridge"), "network endpoints: bridge, host"),
        (("--ip", "999"), "invalid IPv4 address: 999"),
    ],
)
def test_containers_that_cannot_be(docker: Docker, flags: tuple[str, ...], text: str) -> None:
    assert text in docker.fails("create", *flags, "busybox", code=1)


def test_an_ipc_namespace_that_is_its_owners_alone(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--ipc", "private", "busybox", "sleep", "60")
    text = docker.fails("run", "--rm", "--ipc", f"container:{name}", "busybox", "true", code=125)
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in text
    said = docker.fails("network", "connect", "--ip", "172.17.0.99", "bridge", name)
    assert re.search("already exists in network bridge|user defined networks only", said)


@pytest.mark.ours
def test_a_network_of_a_swarm(docker: Docker) -> None:
    assert "swarm is not active" in docker.fails("network", "create", "--scope", "swarm", "apps")

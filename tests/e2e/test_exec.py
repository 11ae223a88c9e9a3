"""`docker exec`: another process in a running container."""

import pytest

from tests.harness.cli import PROGRAM, Docker, end
from tests.harness.engine import Engine
from tests.harness.http import API, joined
from tests.harness.terminal import Terminal
from tests.harness.wait import until


@pytest.fixture
def box(docker: Docker, name: str) -> str:
    docker.ok("run", "-d", "--name", name, "-e", "FROM_RUN=1", "-w", "/tmp", "busybox", "sleep", "600")
    return name


def test_output_and_code(docker: Docker, box: str) -> None:
    result = docker("exec", box, "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (result.code, result.out, result.err) == (9, "out\n", "err\n")


def test_it_shares_the_containers_world(docker: Docker, box: str) -> None:
    assert "sleep 600" in docker.ok("exec", box, "ps", "-o", "args")
    assert docker.ok("exec", box, "sh", "-c", "echo $FROM_RUN; pwd").split() == ["1", "/tmp"]


def test_environment_user_and_directory(docker: Docker, box: str) -> None:
    out = docker.ok("exec", "-e", "MORE=yes", "-u", "nobody", "-w", "/etc", box, "sh", "-c", "echo $MORE; id -un; pwd")
    assert out.split() == ["yes", "nobody", "/etc"]


def test_a_relative_directory(docker: Docker, box: str) -> None:
    result = docker("exec", "-w", "etc", box, "pwd")
    assert result.code == 126 and "Cwd must be an absolute path" in result.out + result.err


def test_input(docker: Docker, box: str) -> None:
    assert docker.ok("exec", "-i", box, "wc", "-c", stdin=b"x" * 100_000) == "100000"


def test_large_output(docker: Docker, box: str) -> None:
    assert len(docker("exec", box, "head", "-c", "4000000", "/dev/zero").stdout) == 4_000_000


def test_detached(docker: Docker, box: str) -> None:
    assert docker.ok("exec", "-d", box, "touch", "/tmp/made") == ""
    until(lambda: docker("exec", box, "test", "-e", "/tmp/made").code == 0, "the detached command has run")


def test_a_terminal(docker: Docker, box: str) -> None:
    with Terminal([PROGRAM, "exec", "-it", box, "sh"], docker.env(), rows=33, columns=99) as terminal:
        terminal.expect("#")
        terminal.send("stty size\r")
        terminal.expect("33 99")
        terminal.send("exit 4\r")
        assert terminal.wait() == 4


def test_a_missing_command_is_127(docker: Docker, box: str) -> None:
    result = docker("exec", box, "no-such-command")
    assert result.code in (126, 127)
    assert 'exec: "no-such-command": executable file not found in $PATH' in result.out + result.err


def test_a_directory_is_no_command(docker: Docker, box: str) -> None:
    assert docker("exec", box, "/etc").code == 126


def test_not_in_a_stopped_container(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "busybox", "true")
    text = docker.fails("exec", name, "true", code=1)
    assert f"container {container} is not running" in text.lower() or f"Container {container} is not running" in text


def test_not_in_a_paused_container(docker: Docker, box: str) -> None:
    docker.ok("pause", box)
    assert "is paused, unpause the container before exec" in docker.fails("exec", box, "true", code=1)
    docker.ok("unpause", box)


def test_not_in_a_missing_container(docker: Docker) -> None:
    assert "No such container: not-there" in docker.fails("exec", "not-there", "true", code=1)


def test_unknown_user(docker: Docker, box: str) -> None:
    text = "unable to find user nobody-known: no matching entries in passwd file"
    result = docker("exec", "-u", "nobody-known", box, "true")
    assert result.code != 0 and text in result.out + result.err


def test_it_ends_with_the_container(docker: Docker, box: str) -> None:
    child = docker.start("exec", box, "sleep", "300")
    try:
        until(lambda: "sleep 300" in docker("top", box).out, "the exec runs")
        docker.ok("kill", box)
        assert child.wait(20) == 137
    finally:
        end(child)


def test_capabilities_are_the_containers(docker: Docker, box: str) -> None:
    lines = docker.ok("exec", box, "grep", "Cap", "/proc/self/status").splitlines()
    caps = dict(line.split(":\t") for line in lines)
    assert (caps["CapInh"], caps["CapEff"]) == ("0" * 16, "00000000a80425fb")


def test_inspect_of_an_exec(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    made = api("POST", f"/containers/{box}/exec", {"Cmd": ["sh", "-c", "exit 6"], "AttachStdout": True})
    assert made.status == 201
    before = api.get(f"/exec/{made.json['Id']}/json")
    assert (before["Running"], before["ExitCode"], before["ContainerID"]) == (False, None, box)
    with api.stream("POST", f"/exec/{made.json['Id']}/start", {"Detach": False, "Tty": False}) as stream:
        assert stream.rest() == b""
    after = until(
        lambda: (now := api.get(f"/exec/{made.json['Id']}/json"))["ExitCode"] is not None and now, "exit code"
    )
    assert (after["Running"], after["ExitCode"]) == (False, 6)
    assert (after["ProcessConfig"]["entrypoint"], after["ProcessConfig"]["arguments"]) == ("sh", ["-c", "exit 6"])


def test_an_exec_starts_once(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    made = api("POST", f"/containers/{box}/exec", {"Cmd": ["true"]}).json["Id"]
    assert api("POST", f"/exec/{made}/start", {"Detach": True}).status == 200
    until(lambda: api.get(f"/exec/{made}/json")["ExitCode"] == 0, "it ends")
    assert api("POST", f"/exec/{made}/start", {"Detach": True}).status in (404, 409)


def test_a_missing_exec(api: API) -> None:
    for method, path in (("GET", "/exec/nothing/json"), ("POST", "/exec/nothing/start")):
        reply = api(method, path, {} if method == "POST" else None)
        assert (reply.status, reply.message) == (404, "No such exec instance: nothing")


def test_no_command_is_refused(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    reply = api("POST", f"/containers/{box}/exec", {"Cmd": []})
    assert (reply.status, reply.message) == (400, "No exec command specified")


@pytest.mark.parametrize("early", [b"", pytest.param(b"early ", marks=pytest.mark.ours)])
def test_body_and_upgrade_and_early_input(api: API, early: bytes) -> None:
    """The JSON body of a request that carries Upgrade is read, and what follows it in the segment is input."""
    box = api.create("sleep", "60")
    api.start(box)
    wanted = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    made = api("POST", f"/containers/{box}/exec", wanted).json["Id"]
    body = b'{"Detach":false,"Tty":false}'
    head = f"POST /v1.41/exec/{made}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with api.raw(head.encode() + body + early) as stream:
        assert stream.status == 101
        assert "Content-Type: application/vnd.docker." in stream.head
        stream.send(b"late")
        stream.end_input()
        assert joined(stream.frames(), 1) == early + b"late"


def test_it_can_be_resized(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    wanted = {"Cmd": ["sh"], "AttachStdin": True, "AttachStdout": True, "Tty": True}
    made = api("POST", f"/containers/{box}/exec", wanted).json["Id"]
    with api.upgrade(f"/exec/{made}/start", {"Detach": False, "Tty": True}) as stream:
        assert api("POST", f"/exec/{made}/resize", h=17, w=71).status in (200, 201)
        stream.send(b"stty size\n")
        stream.until(b"17 71")
        stream.send(b"exit\n")
        stream.rest()


@pytest.mark.ours
def test_a_size_given_at_the_start(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    wanted = {"Cmd": ["stty", "size"], "AttachStdin": True, "AttachStdout": True, "Tty": True, "ConsoleSize": [10, 20]}
    made = api("POST", f"/containers/{box}/exec", wanted).json["Id"]
    with api.upgrade(f"/exec/{made}/start", {"Detach": False, "Tty": True, "ConsoleSize": [33, 99]}) as stream:
        assert stream.rest().split() == [b"33", b"99"]


def test_an_unknown_user_is_told_by_the_start(api: API) -> None:
    box = api.create("sleep", "60")
    api.start(box)
    made = api("POST", f"/containers/{box}/exec", {"Cmd": ["true"], "User": "nobody-knows"})
    assert made.status == 201
    reply = api("POST", f"/exec/{made.json['Id']}/start", {"Detach": True})
    assert reply.status in (400, 500)
    assert "unable to find user nobody-knows" in reply.message


@pytest.mark.ours
def test_one_that_never_starts_leaves_nothing(api: API, engine: Engine) -> None:
    streams = engine.exec / "streams"
    before = set(streams.iterdir())
    box = api.create("sleep", "60")
    api.start(box)
    api("POST", f"/containers/{box}/exec", {"Cmd": ["true"]})
    until(lambda: len(set(streams.iterdir()) - before) == 4, "the container's and the exec's streams are there")
    api("DELETE", f"/containers/{box}", force=1)
    until(lambda: set(streams.iterdir()) <= before, "both are gone")

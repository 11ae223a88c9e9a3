"""`docker attach`, `start -a`, and terminals: streams in, out, and let go of."""

import select
import signal

import pytest

from tests.harness.cli import PROGRAM, Docker, end
from tests.harness.http import API, joined
from tests.harness.terminal import Terminal
from tests.harness.wait import until

ECHO = ("busybox", "sh", "-c", "echo ready; while read line; do echo got $line; done; echo over")
TRAP = ("busybox", "sh", "-c", "trap 'exit 9' INT; echo go; while :; do sleep 0.05; done")
DETACH = "\x10\x11"


def test_a_shell_on_a_terminal(docker: Docker) -> None:
    with Terminal([PROGRAM, "run", "-it", "--rm", "busybox"], docker.env(), rows=30, columns=90) as terminal:
        terminal.expect("#")
        terminal.send("stty size; echo $((6 * 7))\r")
        terminal.expect("30 90")
        terminal.expect("42")
        terminal.resize(40, 120)

        def arrived() -> bool:
            """The client looks out for changes a moment after it has shown the prompt."""
            terminal.child.send_signal(signal.SIGWINCH)
            terminal.send("stty size\r")
            return "40 120" in screen(terminal)

        until(arrived, "the new size arrives", 30)
        terminal.send("exit 12\r")
        assert terminal.wait() == 12


def screen(terminal: Terminal) -> str:
    while terminal.read(0.2):
        pass
    return terminal.seen


def test_a_terminal_without_input(docker: Docker) -> None:
    assert docker("run", "-t", "--rm", "busybox", "sh", "-c", "tty; echo err >&2").out == "/dev/pts/0\r\nerr\r\n"


def test_interrupt_from_the_keyboard(docker: Docker) -> None:
    with Terminal([PROGRAM, "run", "-it", "--rm", *TRAP], docker.env()) as terminal:
        terminal.expect("go")
        terminal.send("\x03")
        assert terminal.wait() == 9


def test_detach_keys_leave_it_running(docker: Docker, name: str) -> None:
    with Terminal([PROGRAM, "run", "-it", "--name", name, "busybox"], docker.env()) as terminal:
        terminal.expect("#")
        terminal.send(DETACH)
        terminal.wait()
    assert docker.inspect(name, "{{.State.Running}}") == "true"
    with Terminal([PROGRAM, "attach", name], docker.env()) as terminal:
        terminal.send("echo $((50 + 5))\r")
        terminal.expect("55")
        terminal.send("exit 3\r")
        assert terminal.wait() == 3


def test_detach_keys_of_ones_own(docker: Docker, name: str) -> None:
    docker.ok("run", "-dit", "--name", name, "busybox")
    with Terminal([PROGRAM, "attach", "--detach-keys", "ctrl-a,x", name], docker.env()) as terminal:
        terminal.send("echo $((40 + 4))\r")
        terminal.expect("44")
        terminal.send("\x01x")
        terminal.wait()
    assert docker.inspect(name, "{{.State.Running}}") == "true"


def test_detach_keys_without_a_sequence_are_refused(docker: Docker, name: str) -> None:
    docker.ok("run", "-dit", "--name", name, "busybox")
    with Terminal([PROGRAM, "attach", "--detach-keys", "ctrl-!", name], docker.env()) as terminal:
        terminal.expect("(?i)invalid|received 400")
        assert terminal.wait() != 0


def echoing(docker: Docker, name: str) -> None:
    """A container that has said what it says by itself, before anybody is attached."""
    docker.ok("run", "-d", "-i", "--name", name, *ECHO)
    until(lambda: docker.ok("logs", name) == "ready", "it has spoken")


def test_attach_without_terminal(docker: Docker, name: str) -> None:
    echoing(docker, name)
    child = docker.start("attach", name)
    try:
        assert child.stdin and child.stdout
        child.stdin.write(b"hello\n")
        assert child.stdout.readline() == b"got hello\n"
        docker.ok("kill", name)
        assert child.wait(20) == 137
    finally:
        end(child)


def test_attach_gives_the_exit_code(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c",
              "until [ -e /go ]; do echo tick; usleep 50000; done; exit 21")
    child = docker.start("attach", name)
    try:
        assert child.stdout and child.stdout.readline() == b"tick\n"
        docker.ok("exec", name, "touch", "/go")
        child.stdout.read()
        assert child.wait(20) == 21
    finally:
        end(child)


def test_attach_without_input(docker: Docker, api: API, name: str) -> None:
    echoing(docker, name)
    child = docker.start("attach", "--no-stdin", name)
    try:
        with api.upgrade(f"/containers/{name}/attach", stdin=1, stream=1) as stream:
            assert child.stdout
            until(lambda: stream.send(b"x\n") or select.select([child.stdout], [], [], 0.2)[0], "output arrives")
            assert child.stdout.readline() == b"got x\n"
    finally:
        end(child)


def test_attach_to_a_stopped_container(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "true")
    assert "You cannot attach to a stopped container, start it first" in docker.fails("attach", name, code=1)


def test_attach_to_a_paused_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    docker.ok("pause", name)
    assert "You cannot attach to a paused container, unpause it first" in docker.fails("attach", name, code=1)


def test_start_attached(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2; exit 4")
    for _ in range(2):
        result = docker("start", "-a", name)
        assert (result.code, result.out, result.err) == (4, "out\n", "err\n")


def test_start_attached_with_input(docker: Docker, name: str) -> None:
    docker.ok("create", "-i", "--name", name, "busybox", "cat")
    assert docker.ok("start", "-a", "-i", name, stdin=b"abc") == "abc"


def test_start_prints_the_name(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "sleep", "60")
    assert docker.ok("start", name) == name
    assert docker.ok("start", name) == name


def test_two_clients_see_the_same(api: API) -> None:
    box = api.create("sh", "-c", "while read x; do echo said $x; done", OpenStdin=True)
    api.start(box)
    first = api.upgrade(f"/containers/{box}/attach", stdin=1, stdout=1, stream=1)
    second = api.upgrade(f"/containers/{box}/attach", stdout=1, stream=1)
    with first, second:
        until(lambda: first.send(b"hey\n") or select.select([second.sock], [], [], 0.2)[0], "the second sees it")
        assert b"said hey\n" in first.until(b"said hey\n")
        assert b"said hey\n" in second.until(b"said hey\n")


def test_end_of_one_client_keeps_input_open(api: API) -> None:
    box = api.create("cat", OpenStdin=True, StdinOnce=False)
    api.start(box)
    for word in (b"one\n", b"two\n"):
        with api.upgrade(f"/containers/{box}/attach", stdin=1, stdout=1, stream=1) as stream:
            stream.send(word)
            stream.until(word)
    assert api.get(f"/containers/{box}/json")["State"]["Running"]


def test_stdin_once_ends_with_the_first_client(api: API) -> None:
    box = api.create("cat", OpenStdin=True, StdinOnce=True, AttachStdin=True)
    with api.upgrade(f"/containers/{box}/attach", stdin=1, stdout=1, stream=1) as stream:
        api.start(box)
        stream.send(b"last words")
        stream.end_input()
        assert joined(stream.frames(), 1) == b"last words"
    assert api("POST", f"/containers/{box}/wait").json["StatusCode"] == 0


def test_logs_before_the_stream(api: API) -> None:
    box = api.create("sh", "-c", "echo early; read x; echo late", OpenStdin=True)
    api.start(box)
    until(lambda: b"early" in api("GET", f"/containers/{box}/logs", stdout=1).body, "it has spoken")
    with api.upgrade(f"/containers/{box}/attach", stdin=1, stdout=1, logs=1, stream=1) as stream:
        stream.until(b"early\n")
        stream.send(b"\n")
        stream.until(b"late\n")


def test_logs_alone_end(api: API) -> None:
    box = api.create("sh", "-c", "echo early; sleep 60")
    api.start(box)
    until(lambda: b"early" in api("GET", f"/containers/{box}/logs", stdout=1).body, "it has spoken")
    with api.upgrade(f"/containers/{box}/attach", stdout=1, logs=1) as stream:
        assert joined(stream.frames(), 1) == b"early\n"


@pytest.mark.ours
@pytest.mark.parametrize(
    ("tty", "version", "kind"),
    [
        (False, "1.41", "raw-stream"),
        (False, "1.42", "multiplexed-stream"),
        (True, "1.42", "raw-stream"),
        (False, "1.51", "multiplexed-stream"),
    ],
)
def test_the_reply_names_its_framing(api: API, tty: bool, version: str, kind: str) -> None:
    box = api.create("sleep", "60", Tty=tty)
    api.start(box)
    with api.upgrade(f"/v{version}/containers/{box}/attach", stdout=1, stream=1) as stream:
        first, *headers = stream.head.split("\r\n")
        assert first == "HTTP/1.1 101 UPGRADED"
        assert {f"Content-Type: application/vnd.docker.{kind}", "Connection: Upgrade", "Upgrade: tcp"} <= set(headers)


def test_without_upgrade_the_answer_is_200(api: API) -> None:
    box = api.create("sh", "-c", "read x; echo $x", OpenStdin=True)
    api.start(box)
    with api.stream("POST", f"/containers/{box}/attach", stdin=1, stdout=1, stream=1) as stream:
        assert stream.head.startswith("HTTP/1.1 200 OK")
        stream.send(b"hi\n")
        assert joined(stream.frames(), 1) == b"hi\n"


def test_records_carry_their_stream(api: API) -> None:
    box = api.create("sh", "-c", "echo out; echo err >&2")
    with api.upgrade(f"/containers/{box}/attach", stdout=1, stderr=1, stream=1) as stream:
        api.start(box)
        data = list(stream.frames())
    assert (joined(iter(data), 1), joined(iter(data), 2)) == (b"out\n", b"err\n")


def test_a_client_that_goes_away_stops_nothing(api: API) -> None:
    box = api.create("sh", "-c", "while :; do echo tick; sleep 0.01; done")
    api.start(box)
    for _ in range(5):
        with api.upgrade(f"/containers/{box}/attach", stdout=1, stream=1) as stream:
            stream.until(b"tick")
    assert api.get(f"/containers/{box}/json")["State"]["Running"]


def test_attach_to_nothing(api: API) -> None:
    reply = api("POST", "/containers/nothing/attach", stdout=1, stream=1)
    assert (reply.status, reply.message) == (404, "No such container: nothing")


def test_resize_of_a_running_container(api: API) -> None:
    box = api.create("sh", "-c", "read x; stty size; read x", Tty=True, OpenStdin=True)
    api.start(box)
    assert api("POST", f"/containers/{box}/resize", h=23, w=77).status == 200
    with api.upgrade(f"/containers/{box}/attach", stdin=1, stdout=1, stream=1) as stream:
        stream.send(b"\n")
        stream.until(b"23 77")

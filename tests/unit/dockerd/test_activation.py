"""Sockets passed by systemd, tried in a child that has them at 3 and 4."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest

CHILD = """
import os, sys
from protos.errdefs import FailedPrecondition
from services.dockerd import activation
os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"] or str(os.getpid())
activation.claim()
assert not [name for name in os.environ if name.startswith("LISTEN_")]
try:
    print(*(each.getsockname()[1] for each in activation.take(sys.argv[1])))
except FailedPrecondition as error:
    print(error)
"""


def take(address: str, *, pid: str = "", names: str = "one:two", listening: bool = True) -> tuple[str, list[str]]:
    """What the child says, and the ports of its two sockets."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.socket() as second:
        second.bind(("127.0.0.1", 0))
        if listening:
            second.listen()
        made = [os.dup(each.fileno()) for each in (first, second)]

        def place() -> None:
            high = [os.dup2(each, 30 + index) for index, each in enumerate(made)]
            for index, each in enumerate(high):
                os.dup2(each, 3 + index, inheritable=True)

        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CHILD), address], capture_output=True, text=True, close_fds=False,
            env={**os.environ, "LISTEN_PID": pid, "LISTEN_FDS": "2", "LISTEN_FDNAMES": names}, preexec_fn=place,
        )
        for each in made:
            os.close(each)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), [str(each.getsockname()[1]) for each in (first, second)]


@pytest.mark.parametrize(("address", "wanted"), [("", [0, 1]), ("3", [0]), ("4", [1]), ("two", [1])])
def test_sockets_are_chosen_by_number_or_name(address: str, wanted: list[int]) -> None:
    said, ports = take(address)
    assert said.split() == [ports[each] for each in wanted]


@pytest.mark.parametrize(
    ("address", "problem"),
    [("5", "too few socket activated files passed in by systemd"),
     ("three", "failed to parse systemd fd address: should be a number or the name of a socket (one, two): three"),
     ("0", "failed to parse systemd fd address")],
)
def test_others_are_refused(address: str, problem: str) -> None:
    said, _ = take(address)
    assert said.startswith(f"failed to load listeners: {problem}")


def test_a_socket_that_does_not_listen_is_refused() -> None:
    assert "fd 4: it is no stream socket that listens" in take("4", listening=False)[0]


def test_what_is_for_another_process_is_left() -> None:
    assert "no sockets found via socket activation" in take("", pid="1")[0]

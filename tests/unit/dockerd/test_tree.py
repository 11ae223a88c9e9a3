import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.dockerd import tree

ID = "ab" * 32


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that reads its standard input and has these words as its command line."""
    script = "echo; read line"
    with subprocess.Popen(
        [words[0], "-c", script, *words[1:]], executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def node(process: subprocess.Popen[bytes], names: dict[str, str], inits: dict[int, str]) -> tree.Node:
    (root,) = tree.read(names, inits, [os.getpid()])
    return next(each for each in root.children if each.pid == process.pid)


def test_processes_have_their_facts() -> None:
    with running("docker-proxy", "-container-id", ID) as process:
        found = node(process, {ID: "web"}, {})
        assert (found.ppid, found.role, found.container, found.container_id) == (os.getpid(), "proxy", "web", ID)
        assert found.command.startswith("docker-proxy -c") and found.threads == 1 and found.pss > 0
        assert found.namespaces == [] and abs(found.started - time.time()) < 60


def test_roles_come_from_command_lines() -> None:
    for words, role in (
        (("docker-containerd-shim", "-id", ID), "shim"),
        (("/usr/bin/containerd-shim-runc-v2", "-id", ID), "shim"),
        (("docker-containerd-shim", "zygote"), "zygote"),
        (("docker-containerd",), "containerd"),
        (("anything",), "helper"),
    ):
        with running(*words) as process:
            assert node(process, {}, {}).role == role, words


def test_container_is_known_by_its_first_process() -> None:
    with running("sh") as process:
        found = node(process, {ID: "web"}, {process.pid: ID})
        assert (found.role, found.container) == ("container", "web")


def test_shim_is_known_by_the_beginning_of_an_id() -> None:
    with running("docker-containerd-shim", "-id", ID[:43]) as process:
        assert node(process, {ID: "web"}, {}).container == "web"


def test_shims_and_proxies_are_found_beside() -> None:
    with running("docker-containerd-shim", "-id", ID) as shim:
        assert tree.beside({ID: "web"}, os.getpid()) == []
        assert tree.beside({ID: "web"}, shim.pid) == []
        assert tree.beside({"cd" * 32: "db"}, 1) == []
        assert tree.beside({ID: "web"}, 0) == [tree.top(os.getpid(), 0)]


def test_ended_root_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert tree.read({}, {}, [process.pid]) == []


def test_listener_is_found_by_its_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    assert tree.listening(path) == 0
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        assert tree.listening(path) == os.getpid()


def test_top_is_inits_child_elsewhere() -> None:
    with running("sh") as process:
        assert tree.top(process.pid, os.getpid()) == 0
        other = tree.top(os.getpid(), process.pid)
        assert other > 1 and (tree._stat(other) or tree.Stat(0, 0, "", 0, 0)).ppid <= 1

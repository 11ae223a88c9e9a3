"""The process tree, to people and as an API."""

import contextlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until

pytestmark = pytest.mark.ours


def pstree(engine: Engine, flags: str = "-lSTc") -> str:
    """Not compacted (`-c`): containers of other tests may look alike."""
    return subprocess.run(["pstree", "-A", flags, str(engine.pid)], capture_output=True, text=True, check=True).stdout


def test_the_shape(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "19080:80", "busybox", "sh", "-c", "sleep 600 & wait")
    box = "-docker-containe---sh(ipc,mnt,net,pid,uts)---sleep"
    lines = until(lambda: box in (shown := pstree(engine)) and shown, "the shell has its child").splitlines()
    assert re.match(r"dockerd\S*-\+-docker-containe-\+-docker-containe", lines[0]), lines
    assert re.search(r"[`|]-\S*docker-proxy", lines[-1]), lines


def test_one_idle_process_each_at_most(engine: Engine) -> None:
    until(lambda: len(children(engine.containerd())) <= 1, "at most the zygote is below docker-containerd")
    until(lambda: len(children(engine.pid)) <= 2, "at most one process is beside docker-containerd")


def children(pid: int) -> list[str]:
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ends meanwhile
            found += (task / "children").read_text().split()
    return found


def test_command_lines_can_be_read(docker: Docker, engine: Engine, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "-p", "19081:80", "busybox", "sleep", "600")
    words = [r"dockerd .*--data-root", r"docker-containerd .*--address", rf"docker-containerd-shim .*{container}",
             r"docker-proxy .*:19081->"]

    def unread() -> list[str]:
        lines = [leftovers.cmdline(pid) for pid in leftovers.processes(engine.network.inode())]
        return [each for each in words if not any(re.match(rf"(\S*/)?{each}", line) for line in lines)]

    until(lambda: not unread(), "each says what it is")


def test_host_network_shows_no_network_namespace(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "--network", "host", "busybox", "sleep", "600")
    until(lambda: "sleep(ipc,mnt,pid,uts)" in pstree(engine), "it is shown without")


def test_a_shim_goes_with_its_container(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    shim = parent(int(docker.inspect(name, "{{.State.Pid}}")))
    assert parent(shim) == engine.containerd()
    docker.ok("kill", name)
    until(lambda: not Path(f"/proc/{shim}").exists(), "the shim is gone")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_tree_as_json(docker: Docker, engine: Engine, api: API, name: str) -> None:
    container = docker.ok("run", "-d", "--name", name, "-p", "19082:80", "busybox", "sleep", "600")
    tree = api.get("/debug/tree")
    entries = list(flatten(tree))
    root = next(entry for entry in entries if entry["pid"] == engine.pid)
    assert root["role"] == "daemon" and root["threads"] >= 1 and root["pss"] > 0
    roles = {entry["role"] for entry in entries}
    assert {"daemon", "containerd", "shim", "proxy", "container"} <= roles
    init = next(entry for entry in entries if str(entry["pid"]) == docker.inspect(name, "{{.State.Pid}}"))
    shim = next(entry for entry in entries if entry["pid"] == init["ppid"])
    assert shim["role"] == "shim" and shim["ppid"] == engine.containerd()
    assert container in str(shim) and name in str(shim)
    assert {"ipc", "mnt", "net", "pid", "uts"} <= set(map(str, init["namespaces"]))


def flatten(node):  # type: ignore[no-untyped-def]
    """Every mapping that speaks of a process, however deep."""
    if isinstance(node, list):
        for each in node:
            yield from flatten(each)
    elif isinstance(node, dict):
        if "pid" in node:
            yield node
        for each in node.values():
            yield from flatten(each)


def test_the_tree_as_a_page(api: API) -> None:
    reply = api("GET", "/debug/tree.html")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/html")
    page = reply.body.decode()
    assert "<html" in page and not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)

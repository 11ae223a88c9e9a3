"""`--live-restore`, also to another copy of the code: containers go on, and what is told of them carries over."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import services
from tests.harness.engine import Engine
from tests.harness.http import joined
from tests.harness.sinks import Receiver, fluentd, listener, receiving
from tests.harness.wait import until
from tests.kill.crowd import AWAIT, Crowd, deaths, ended, release

pytestmark = pytest.mark.ours
PROGRAMS = {"dockerd": "dockerd", "docker-containerd": "containerd", "docker-containerd-shim": "shim",
            "docker-proxy": "proxy"}
STARTER = """#!{python}
import sys
sys.path.insert(0, {home!r})
from services.{service}.__main__ import main
sys.exit(main())
"""


class Upgraded(Engine):
    """An engine that is run from any copy of the package; None is the one under test."""

    copy: Path | None = None

    def command(self, *flags: str) -> list[str]:
        words = super().command(*flags)
        if self.copy:
            place = next(index for index, word in enumerate(words) if word.endswith("/dockerd"))
            words[place] = str(self.copy / "bin/dockerd")
        return words


def install(home: Path, version: str) -> Path:
    """A copy of the package with programs of its own, that calls itself by another version."""
    source = Path(services.__path__[0]).parent
    for part in ("services", "protos"):
        shutil.copytree(source / part, home / part)  # with what is compiled: it starts as fast
    (home / "bin").mkdir()
    for program, service in PROGRAMS.items():
        path = home / "bin" / program
        path.write_text(STARTER.format(python=sys.executable, home=str(home), service=service))
        path.chmod(0o755)
    for file in ("services/dockerd/release.py", "services/containerd/config.py"):
        lines = (home / file).read_text().splitlines(keepends=True)
        changed = [f'VERSION: Final = "{version}"\n' if line.startswith("VERSION: ") else line for line in lines]
        assert changed != lines
        (home / file).write_text("".join(changed))
    return home


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Upgraded]:
    engine = Upgraded("--live-restore", reference=False)
    engine.copy = install(tmp_path / "old", "1.2.3")
    with engine:
        yield engine


def version(engine: Engine) -> list[str]:
    reply = engine.api.get("/version")
    return [reply["Version"], *(each["Version"] for each in reply["Components"] if each["Name"] == "containerd")]


def test_containers_live_through_an_upgrade(engine: Upgraded, tmp_path: Path) -> None:
    docker = engine.docker
    with ExitStack() as stack:
        crowd = Crowd(engine, stack)
        assert version(engine) == ["1.2.3", "1.2.3"]
        docker.ok("network", "create", "own")
        docker.ok("run", "-d", "--name", "named", "--network", "own", "busybox", "sleep", "86400")
        docker.ok("run", "-d", "--name", "sick", "--health-cmd", "false", "--health-interval", "100ms",
                  "--health-retries", "1", "busybox", "sleep", "86400")
        docker.ok("run", "-d", "--name", "again", "--restart", "on-failure:3", "busybox", "sh", "-c", f"{AWAIT} 4")
        docker.ok("run", "-d", "--name", "last", "busybox", "sh", "-c", f"echo before; {AWAIT} 23")
        until(lambda: docker.inspect("sick", "{{.State.Health.Status}}") == "unhealthy", "its health is known")
        pids = {name: int(docker.inspect(name, "{{.State.Pid}}")) for name in ("named", "sick", "again", "last")}
        assert engine.stop() == 0
        assert not engine.pids("docker-containerd"), "docker-containerd has ended, too"
        crowd.carry_on("between")
        release(pids["last"])
        release(pids["again"])
        engine.copy = None
        engine.start()
        shutil.rmtree(tmp_path / "old")
        assert "1.2.3" not in version(engine)
        crowd.carry_on("after")
        crowd.are_known()
        assert docker.inspect("sick", "{{.State.Health.Status}} {{.State.Pid}}") == f"unhealthy {pids['sick']}"
        streak = int(docker.inspect("sick", "{{.State.Health.FailingStreak}}"))
        until(lambda: int(docker.inspect("sick", "{{.State.Health.FailingStreak}}")) > streak, "it is checked on")
        until(lambda: docker.inspect("last", "{{.State.ExitCode}}") == "23", "its end is known")
        assert docker.ok("logs", "last") == "before"
        assert [each["exitCode"] for each in deaths(engine, 1, "last")] == ["23"]
        until(lambda: docker.inspect("again", "{{.State.Running}} {{.RestartCount}}") == "true 1", "policies go on")
        docker.ok("run", "-d", "--name", "newer", "--network", "own", "busybox", "sleep", "86400")
        assert docker.ok("exec", "newer", "ping", "-c", "1", "-W", "2", "named")
        for name in ("writer", "server"):
            docker.ok("stop", "-t", "0", name)
            docker.ok("start", name)
        docker.ok("rm", "-f", *docker.ok("ps", "-aq").split())
        assert not any(not ended(pid) for pid in pids.values())
    ends_clean(engine)


def test_old_shims_load_nothing_of_a_removed_copy(engine: Upgraded, tmp_path: Path) -> None:
    """Logs are compressed, attached to and fed to their sinks as ever."""
    docker, limits = engine.docker, ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"]
    with receiving(Receiver(listener(engine.network, 24224), fluentd)) as receiver:
        docker.ok("run", "-d", "-i", "--name", "turns", *limits, "--log-opt", "compress=true", "busybox", "sh")
        docker.ok("run", "-d", "-i", "--name", "fed", "--log-driver", "fluentd", "busybox", "cat")
        assert engine.stop() == 0
        engine.copy = None
        engine.start()
        shutil.rmtree(tmp_path / "old")
        docker.ok("exec", "turns", "sh", "-c", "seq 1 2000 >/proc/1/fd/1")
        log = Path(docker.inspect("turns", "{{.LogPath}}"))
        until(lambda: len(list(log.parent.glob("*.gz"))) == 2, "the files that are full are compressed")
        with engine.api.upgrade("/containers/turns/attach", logs=1, stdout=1) as stream:
            assert b"2000\n" in joined(stream.frames(), 1)
        (feeder,) = engine.pids("docker-log")
        engine.kill(feeder)
        docker.ok("exec", "fed", "sh", "-c", "echo on >/proc/1/fd/1")
        until(lambda: [record["log"] for _, _, record in receiver.seen] == ["on"], "another feeds the sink")
        docker.ok("rm", "-f", "turns", "fed")
    assert "No module named" not in engine.log.read_text()
    ends_clean(engine)


def test_dead_shim_of_a_removed_copy_is_cleared_away(engine: Upgraded, tmp_path: Path) -> None:
    docker = engine.docker
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "86400")
    pid = int(docker.inspect("box", "{{.State.Pid}}"))
    assert engine.stop() == 0
    engine.copy = None
    engine.start()
    shutil.rmtree(tmp_path / "old")
    (shim,) = [node["ppid"] for node in tree(engine) if node["pid"] == pid]
    engine.kill(shim)
    until(lambda: docker.inspect("box", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137", "its end is known")
    assert not list((engine.exec / "runtime").glob("*/*")), "the runtime has forgotten it"
    docker.ok("start", "box")
    docker.ok("rm", "-f", "box")
    ends_clean(engine)


def test_absent_containerd_is_told_as_docker_tells_it(engine: Upgraded, tmp_path: Path) -> None:
    """Between two versions its program may be missing for a while."""
    docker = engine.docker
    docker.ok("run", "-d", "--name", "known", "busybox", "sleep", "600")
    program, hidden = (tmp_path / "old/bin" / name for name in ("docker-containerd", "hidden"))
    program.rename(hidden)
    engine.kill(engine.containerd())
    reply = engine.api("POST", "/containers/known/kill", timeout=60)
    assert reply.status == 503 and "docker-containerd is not available: " in reply.json["message"]
    assert docker.ok("ps", "--format", "{{.Names}}") == "known", "what is in memory is told"
    hidden.rename(program)
    until(lambda: docker("exec", "known", "true").code == 0, "it is back", 40)
    docker.ok("rm", "-f", "known")
    ends_clean(engine)


def ends_clean(engine: Engine) -> None:
    """With live restore the networks stay; nothing else does."""
    assert engine.stop() == 0

    def left() -> list[str]:
        return [each for each in engine.remains() if not each.startswith(("link ", "rule "))]

    until(lambda: left() == [], f"nothing but networks is left, not {left()}")


def tree(engine: Engine) -> Iterator[dict[str, Any]]:
    waiting = list(engine.api.get("/debug/tree"))
    while waiting:
        node = waiting.pop()
        waiting += node["children"]
        yield node

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shim.cgroup import V1, V2, Oom, cgroup_of, field, has_own_pid_namespace
from services.shim.loop import Loop
from tests.unit.shim.conftest import Run


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_own_group_is_found() -> None:
    assert os.getpid() in cgroup_of(os.getpid()).pids()


def test_version_one_freezes_kills_and_thaws(
    tmp_path: Path, loop: Loop, run: Run, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "child").mkdir()
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "child" / "cgroup.procs").write_text(f"{sleeper.pid}\n")
    (tmp_path / "freezer.state").write_text("THAWED")
    group = V1({"freezer": tmp_path})
    assert group.pids() == [sleeper.pid]
    run(group.kill(loop, signal.SIGTERM))
    assert sleeper.wait() == -signal.SIGTERM
    assert (tmp_path / "freezer.state").read_text() == "THAWED"


def test_paused_group_stays_paused_but_for_a_kill(tmp_path: Path, loop: Loop, run: Run) -> None:
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "freezer.state").write_text("FROZEN")
    group = V1({"freezer": tmp_path})
    run(group.kill(loop, signal.SIGTERM))
    assert (tmp_path / "freezer.state").read_text() == "FROZEN"
    run(group.kill(loop, signal.SIGKILL))
    assert (tmp_path / "freezer.state").read_text() == "THAWED"


def test_version_two_kills_at_once(tmp_path: Path, loop: Loop, run: Run) -> None:
    (tmp_path / "cgroup.kill").write_text("")
    run(V2(tmp_path).kill(loop, signal.SIGKILL))
    assert (tmp_path / "cgroup.kill").read_text() == "1"


def test_version_two_freezes_for_other_signals(
    tmp_path: Path, loop: Loop, run: Run, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "cgroup.procs").write_text(f"{sleeper.pid}\n")
    (tmp_path / "cgroup.freeze").write_text("0\n")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    run(V2(tmp_path).kill(loop, signal.SIGTERM))
    assert sleeper.wait() == -signal.SIGTERM
    assert (tmp_path / "cgroup.freeze").read_text() == "0"


def test_gone_group_is_empty(tmp_path: Path, loop: Loop, run: Run) -> None:
    for group in (V1({"freezer": tmp_path / "gone"}), V2(tmp_path / "gone")):
        assert group.pids() == []
        run(group.kill(loop, signal.SIGKILL))
        group.thaw()


def test_every_kill_for_memory_is_told_once(tmp_path: Path, loop: Loop, run: Run) -> None:
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 1\n")
    told: list[int] = []
    oom = V2(tmp_path).watch_oom(loop, lambda: told.append(1))
    events.write_text("oom_kill 2\n")
    run(loop.sleep(0.01))
    assert told == [1]
    oom.check()
    assert told == [1]
    oom.close()
    oom.close()


def test_group_without_notice_is_looked_at(loop: Loop, tmp_path: Path) -> None:
    counts = iter([0, 1])
    told: list[int] = []
    Oom(loop, -1, lambda: next(counts), lambda: told.append(1)).check()
    assert told == [1]


def test_field_of_a_missing_file_is_zero(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a 1\nb 2\n")
    assert (field(tmp_path / "f", "b"), field(tmp_path / "f", "c"), field(tmp_path / "g", "a")) == (2, 0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs root")
def test_first_process_of_a_namespace_is_known() -> None:
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "cat"], stdin=subprocess.PIPE) as outer:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        while not children.read_text():
            assert outer.poll() is None
        assert has_own_pid_namespace(int(children.read_text()))
        assert not has_own_pid_namespace(outer.pid)
        outer.kill()

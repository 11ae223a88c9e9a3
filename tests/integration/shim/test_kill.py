"""kill -9 of docker-containerd, of shims and of the zygote, at the worst moments: nothing is lost, nothing is left."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness.wait import until
from tests.integration.daemon import Daemon
from tests.integration.shim.box import (
    BUSYBOX,
    alive,
    command_line,
    parent,
    pid_of,
    shims,
    status,
    watching,
    zygote,
)


def exits(events: list[tuple[str, dict[str, object]]]) -> list[object]:
    return [event.get("exit_status", 0) for topic, event in events if topic == "/tasks/exit"]


class TestTree:
    def test_shim_is_the_daemons_own_child(self, ours: Daemon) -> None:
        until(lambda: zygote(ours), "the zygote comes")
        ours.ok("run", "-d", BUSYBOX, "t1", "sleep", "1000")
        pid = shims(ours)["t1"]
        assert parent(pid) == ours.pid
        assert parent(pid_of(ours, "t1")) == pid
        assert command_line(pid)[:5] == ["docker-containerd-shim", "-namespace", "default", "-id", "t1"]
        assert Path(f"/proc/{pid}/comm").read_text() == "docker-containe\n"
        assert os.getsid(pid) == pid

    def test_shim_is_one_thread_and_inherits_nothing(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "t2", "sleep", "1000")
        pid = shims(ours)["t2"]
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        open_files = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert not [name for name in open_files if "meta.db" in name or name == str(ours.log)]
        assert f"SigBlk:\t{0:016x}" in Path(f"/proc/{pid}/status").read_text().splitlines()

    def test_zygote_dies_with_the_daemon_and_shims_do_not(self, ours: Daemon) -> None:
        until(lambda: zygote(ours), "the zygote comes")
        ours.ok("run", "-d", BUSYBOX, "t3", "sleep", "1000")
        warm, shim, init = zygote(ours), shims(ours)["t3"], pid_of(ours, "t3")
        ours.stop(signal.SIGKILL)
        until(lambda: not alive(warm), "the zygote ends")
        assert alive(shim)
        assert alive(init)

    def test_polite_signals_do_not_end_a_shim(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "t4", "sleep", "1000")
        shim = shims(ours)["t4"]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(shim, number)
        assert status(ours, "t4") == "RUNNING"
        dump = ours.state / "io.containerd.runtime.v2.task/default/t4/stacks.log"
        until(lambda: dump.exists() and "coroutine Service" in dump.read_text(), "the stacks are beside the bundle")


class TestZygote:
    def test_dead_one_is_replaced(self, ours: Daemon) -> None:
        first = until(lambda: zygote(ours), "the zygote comes")
        os.kill(first, signal.SIGKILL)
        assert ours.ok("run", "--rm", BUSYBOX, "z1", "echo", "by its command") == "by its command\n"
        second = until(lambda: zygote(ours), "another comes")
        assert second != first
        assert ours.ok("run", "--rm", BUSYBOX, "z2", "echo", "forked") == "forked\n"

    def test_executed_shim_is_as_good(self, ours: Daemon) -> None:
        os.kill(until(lambda: zygote(ours), "the zygote comes"), signal.SIGKILL)
        ours.ok("run", "-d", BUSYBOX, "z3", "sleep", "1000")
        assert parent(shims(ours)["z3"]) == ours.pid  # an orphan, adopted by the nearest subreaper
        ours.restart(signal.SIGKILL)
        assert status(ours, "z3") == "RUNNING"
        ours.ok("tasks", "kill", "-s", "9", "z3")
        until(lambda: status(ours, "z3") == "STOPPED", "the task ends")
        ours.ok("tasks", "rm", "z3")
        until(lambda: not shims(ours), "the shim ends")


class TestDaemonKilled:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_tasks_go_on_and_obey_the_next_one(self, ours: Daemon, number: int) -> None:
        ours.ok("run", "-d", BUSYBOX, "d1", "sleep", "1000")
        ours.ok("run", "-d", BUSYBOX, "d2", "sleep", "1000")
        ours.ok("tasks", "pause", "d2")
        before = ours.rows("tasks", "ls")
        ours.restart(number)
        assert sorted(ours.rows("tasks", "ls")) == sorted(before)
        assert ours.ok("tasks", "exec", "--exec-id", "e", "d1", "echo", "obeys") == "obeys\n"
        ours.ok("tasks", "resume", "d2")
        for name in ("d1", "d2"):
            ours.ok("tasks", "kill", "-s", "9", name)
            until(lambda it=name: status(ours, it) == "STOPPED", "the task ends")  # type: ignore[misc]
            ours.ok("tasks", "rm", name)
        until(lambda: not shims(ours), "the shims end")

    def test_exit_meanwhile_is_told_and_known(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "d3", "sh", "-c", "sleep 0.5; exit 42")
        init = pid_of(ours, "d3")
        ours.stop(signal.SIGKILL)
        until(lambda: not alive(init), "the container ends meanwhile")
        ours.start()
        with watching(ours) as events:
            until(lambda: status(ours, "d3") == "STOPPED", "its end is known")
            until(lambda: exits(events.of("d3")) or "d3" in ours.log.read_text(), "its end is told")
        done = ours.ctr("tasks", "rm", "d3")
        assert b"exit code 42" in done.stderr

    def test_killed_at_any_moment_of_a_life(self, ours: Daemon) -> None:
        """Twenty moments of create, start, kill and delete: what is listed can be removed, and then nothing is left."""
        for round_ in range(20):
            name = f"m{round_}"
            killer = threading.Timer(0.01 + 0.02 * round_, ours.stop, [signal.SIGKILL])
            killer.start()
            ours.ctr("run", "-d", BUSYBOX, name, "sleep", "1000")
            ours.ctr("tasks", "kill", "-s", "9", name)
            ours.ctr("tasks", "rm", name)
            killer.join()
            assert ours.start() == "ready"
            assert set(shims(ours)) - {row[0] for row in ours.rows("tasks", "ls")} <= {name}
        for row in ours.rows("tasks", "ls"):
            ours.ctr("tasks", "kill", "-s", "9", row[0])
            until(lambda it=row[0]: ours.ctr("tasks", "rm", it).returncode == 0, "the task goes")  # type: ignore[misc]
        until(lambda: not shims(ours), "no shim is left", timeout=30)
        assert list((ours.state / "io.containerd.runtime.v2.task").glob("*/[!.]*")) == []
        until(lambda: not list((ours.state / "s").iterdir()), "no socket is left")


class TestShimKilled:
    def test_its_container_is_dead_at_once(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "s1", "sh", "-c", "sleep 1000 & sleep 1001; true")
        pids = [int(row[0]) for row in ours.rows("tasks", "ps", "s1")]
        with watching(ours) as events:
            os.kill(shims(ours)["s1"], signal.SIGKILL)
            until(lambda: exits(events.of("s1")) == [137], "its exit is told")
            until(lambda: "/tasks/delete" in events.topics("s1"), "and its removal")
        assert not any(map(alive, pids))
        assert status(ours, "s1") == "STOPPED"
        ours.ok("tasks", "rm", "s1")
        ours.ok("tasks", "start", "-d", "s1")
        assert status(ours, "s1") == "RUNNING"

    def test_processes_outside_its_pid_namespace_die_too(self, ours: Daemon) -> None:
        script = "sleep 1000 & sleep 1001; true"
        ours.ok("run", "-d", "--with-ns", f"pid:/proc/{ours.pid}/ns/pid", BUSYBOX, "s2", "sh", "-c", script)
        until(lambda: len(ours.rows("tasks", "ps", "s2")) == 3, "they run")
        pids = [int(row[0]) for row in ours.rows("tasks", "ps", "s2")]
        os.kill(shims(ours)["s2"], signal.SIGKILL)
        until(lambda: not any(map(alive, pids)), "all of them end")
        until(lambda: status(ours, "s2") == "STOPPED", "the task is dead")

    def test_paused_container_dies_too(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "s3", "sleep", "1000")
        init = pid_of(ours, "s3")
        ours.ok("tasks", "pause", "s3")
        os.kill(shims(ours)["s3"], signal.SIGKILL)
        until(lambda: status(ours, "s3") == "STOPPED" and not alive(init), "it ends")

    def test_new_task_replaces_the_dead_one(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "s4", "sleep", "1000")
        os.kill(shims(ours)["s4"], signal.SIGKILL)
        until(lambda: status(ours, "s4") == "STOPPED", "the task is dead")
        ours.ok("tasks", "start", "-d", "s4")
        assert status(ours, "s4") == "RUNNING"

    def test_waiting_client_is_told(self, ours: Daemon) -> None:
        command = [*ours.client(), "run", BUSYBOX, "s5", "sleep", "1000"]
        null = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as client:
            until(lambda: status(ours, "s5") == "RUNNING", "it runs")
            os.kill(shims(ours)["s5"], signal.SIGKILL)
            assert client.wait(20) in (137, 1)  # 1 where the reply to its start was still under way

    def test_killed_at_any_moment_of_a_start(self, ours: Daemon) -> None:
        """Fifteen moments: every one ends in a task that runs, or in an error and nothing."""
        done = threading.Event()

        def kill_after(seconds: float, name: str) -> None:
            until(lambda: name in shims(ours) or done.is_set(), "the shim comes")
            done.wait(seconds)
            if name in shims(ours):
                os.kill(shims(ours)[name], signal.SIGKILL)

        for round_ in range(15):
            name = f"a{round_}"
            done.clear()
            killer = threading.Thread(target=kill_after, args=(0.004 * round_, name))
            killer.start()
            ours.ctr("run", "-d", BUSYBOX, name, "sleep", "1000")
            done.set()
            killer.join()
            until(lambda it=name: status(ours, it) in ("", "STOPPED", "RUNNING"), "a clear state")  # type: ignore[misc]
        for row in ours.rows("tasks", "ls"):
            ours.ctr("tasks", "kill", "-s", "9", row[0])
            until(lambda it=row[0]: ours.ctr("tasks", "rm", it).returncode == 0, "the task goes")  # type: ignore[misc]
        until(lambda: not shims(ours), "no shim is left")

    def test_hung_one_holds_nobody_up(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "s6", "sleep", "1000")
        ours.ok("run", "-d", BUSYBOX, "s7", "sleep", "1000")
        shim = shims(ours)["s6"]
        os.kill(shim, signal.SIGSTOP)
        try:
            assert status(ours, "s6") == "UNKNOWN"
            assert status(ours, "s7") == "RUNNING"
            assert ours.ok("run", "--rm", BUSYBOX, "s8", "echo", "on") == "on\n"
        finally:
            os.kill(shim, signal.SIGCONT)
        until(lambda: status(ours, "s6") == "RUNNING", "it answers again")


class TestForeignShim:
    """Any program that keeps to version 3 of the shim's commands, named by its path."""

    def test_it_serves_and_is_found_again(self, ours: Daemon, tmp_path: Path) -> None:
        foreign = tmp_path / "containerd-shim-other-v3"
        foreign.write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent / "docker-containerd-shim"} "$@"\n')
        foreign.chmod(0o755)
        ours.ok("run", "-d", "--runtime", str(foreign), BUSYBOX, "f1", "sleep", "1000")
        ours.restart(signal.SIGKILL)
        assert ours.ok("tasks", "exec", "--exec-id", "e", "f1", "echo", "inside") == "inside\n"
        os.kill(shims(ours)["f1"], signal.SIGKILL)
        until(lambda: status(ours, "f1") == "STOPPED", "its death is noticed")
        ours.ok("tasks", "rm", "f1")

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("echo unix:///run/old.sock", "is no version 3 shim"),
            ("echo '{\"version\":3,\"address\":\"unix:///x\",\"protocol\":\"ttrpc\"}'", "serves ttrpc version 3"),
            ("echo broken >&2; exit 4", "exit status 4: broken"),
        ],
    )
    def test_what_is_no_such_shim_is_refused(self, ours: Daemon, tmp_path: Path, script: str, said: str) -> None:
        foreign = tmp_path / "shim"
        foreign.write_text(f"#!/bin/sh\n{script}\n")
        foreign.chmod(0o755)
        assert said in ours.fails("run", "-d", "--runtime", str(foreign), BUSYBOX, "f2", "sleep", "1000")
        assert ours.rows("tasks", "ls") == []
        assert list((ours.state / "io.containerd.runtime.v2.task").glob("*/*")) == []


class TestBothKilled:
    def test_known_exit_is_kept(self, ours: Daemon) -> None:
        """The container ended, its shim wrote that down, and then everybody died."""
        ours.ok("run", "-d", BUSYBOX, "b1", "sh", "-c", "sleep 0.3; exit 23")
        shim, init = shims(ours)["b1"], pid_of(ours, "b1")
        ours.stop(signal.SIGKILL)
        until(lambda: not alive(init) and list(ours.state.glob("*/default/b1/exit.json")), "its end is written")
        os.kill(shim, signal.SIGKILL)
        until(lambda: not alive(shim), "the shim is dead")
        ours.start()
        until(lambda: status(ours, "b1") == "STOPPED", "the task is dead")
        assert b"exit code 23" in ours.ctr("tasks", "rm", "b1").stderr

    def test_orphan_is_killed(self, ours: Daemon) -> None:
        ours.ok("run", "-d", BUSYBOX, "b2", "sleep", "1000")
        shim, init = shims(ours)["b2"], pid_of(ours, "b2")
        ours.stop(signal.SIGKILL)
        os.kill(shim, signal.SIGKILL)
        until(lambda: not alive(shim), "the shim is dead")
        assert alive(init)
        ours.start()
        until(lambda: status(ours, "b2") == "STOPPED" and not alive(init), "the task is dead")
        assert b"exit code 137" in ours.ctr("tasks", "rm", "b2").stderr
        ours.ok("tasks", "start", "-d", "b2")

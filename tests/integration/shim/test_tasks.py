"""Every verb on tasks by the real `ctr`, through our docker-containerd and shim; and through Debian's."""

import os
import pty
import subprocess
from pathlib import Path

from tests.harness.wait import until
from tests.integration.daemon import Daemon
from tests.integration.shim.box import BUSYBOX, alive, pid_of, status, watching


class TestRun:
    def test_output_and_exit_code(self, daemon: Daemon) -> None:
        done = daemon.ctr("run", "--rm", BUSYBOX, "r1", "sh", "-c", "echo out; echo err >&2; exit 7")
        assert (done.returncode, done.stdout) == (7, b"out\n")
        assert b"err\n" in done.stderr
        assert daemon.rows("tasks", "ls") == daemon.rows("containers", "ls") == []

    def test_input_reaches_the_process(self, daemon: Daemon) -> None:
        done = daemon.ctr("run", "--rm", BUSYBOX, "r2", "sh", "-c", "wc -c", stdin=b"x" * 300_000)
        assert done.stdout.split() == [b"300000"]

    def test_much_output_is_whole(self, daemon: Daemon) -> None:
        done = daemon.ctr("run", "--rm", BUSYBOX, "r3", "sh", "-c", "seq 200000")
        assert done.stdout == b"".join(b"%d\n" % number for number in range(1, 200001))

    def test_terminal(self, daemon: Daemon) -> None:
        master, slave = pty.openpty()
        command = [*daemon.client(), "run", "--rm", "-t", BUSYBOX, "r4", "sh", "-c", "tty; stty size; sleep 0.2"]
        with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL) as client:
            os.close(slave)
            assert client.wait(30) == 0
        assert b"/dev/pts/0" in os.read(master, 4096)
        os.close(master)

    def test_missing_command_leaves_nothing(self, daemon: Daemon) -> None:
        said = daemon.fails("run", BUSYBOX, "r5", "/no/such/command")
        assert "no such file or directory" in said
        assert daemon.rows("tasks", "ls") == []

    def test_file_and_binary_stdio(self, daemon: Daemon, tmp_path: Path) -> None:
        log = tmp_path / "log"
        daemon.ok("run", "-d", "--log-uri", f"file://{log}", BUSYBOX, "r6", "sh", "-c", "echo logged")
        until(lambda: log.exists() and log.read_text() == "logged\n", "the log file is written")

    def test_name_in_use(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "r7", "sleep", "1000")
        assert "already exists" in daemon.fails("run", "-d", BUSYBOX, "r7", "sleep", "1000")
        assert "already exists" in daemon.fails("tasks", "start", "-d", "r7")
        assert status(daemon, "r7") == "RUNNING"


class TestVerbs:
    def test_kill_and_remove(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "v1", "sleep", "1000")
        pid = pid_of(daemon, "v1")
        assert alive(pid)
        daemon.fails("tasks", "rm", "v1")
        daemon.ok("tasks", "kill", "-s", "9", "v1")
        until(lambda: status(daemon, "v1") == "STOPPED", "the task ends")
        assert "not found" in daemon.fails("tasks", "kill", "-s", "9", "v1")
        daemon.ok("tasks", "rm", "v1")
        assert status(daemon, "v1") == ""
        assert not alive(pid)

    def test_start_again(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "v2", "sleep", "1000")
        for _ in range(3):
            daemon.ok("tasks", "kill", "-s", "9", "v2")
            until(lambda: status(daemon, "v2") == "STOPPED", "the task ends")
            daemon.ok("tasks", "rm", "v2")
            daemon.ok("tasks", "start", "-d", "v2")
            assert status(daemon, "v2") == "RUNNING"

    def test_exec(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "v3", "sleep", "1000")
        done = daemon.ctr("tasks", "exec", "--exec-id", "e1", "v3", "sh", "-c", "echo inside; exit 5")
        assert (done.returncode, done.stdout) == (5, b"inside\n")
        assert "no such file" in daemon.fails("tasks", "exec", "--exec-id", "e2", "v3", "/no/such")
        assert daemon.ok("tasks", "exec", "--exec-id", "e2", "v3", "echo", "again") == "again\n"

    def test_pause_and_resume(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "v4", "sleep", "1000")
        daemon.ok("tasks", "pause", "v4")
        assert status(daemon, "v4") == "PAUSED"
        daemon.ok("tasks", "resume", "v4")
        assert status(daemon, "v4") == "RUNNING"

    def test_processes_and_metrics(self, daemon: Daemon) -> None:
        daemon.ok("run", "-d", BUSYBOX, "v5", "sh", "-c", "sleep 1000 & sleep 1001; true")
        until(lambda: len(daemon.rows("tasks", "ps", "v5")) == 3, "three processes")
        said = daemon.ok("tasks", "metrics", "v5")
        assert "memory" in said
        assert "not found" in daemon.fails("tasks", "ps", "missing")

    def test_signals_reach_the_process(self, daemon: Daemon) -> None:
        script = "trap 'exit 9' USR1; while :; do sleep 0.05; done"
        daemon.ok("run", "-d", BUSYBOX, "v6", "sh", "-c", script)
        with watching(daemon) as events:

            def told() -> bool:
                """Sent until the trap is set: process 1 of a container does not even notice it before."""
                daemon.ctr("tasks", "kill", "-s", "USR1", "v6")
                return "/tasks/exit" in events.topics("v6")

            until(told, "exit is told")
            assert [event["exit_status"] for topic, event in events.of("v6") if topic == "/tasks/exit"] == [9]

    def test_events_of_a_life(self, daemon: Daemon) -> None:
        with watching(daemon) as events:
            daemon.ctr("run", "--rm", BUSYBOX, "v7", "sh", "-c", "exit 3")
            until(lambda: "/tasks/delete" in events.topics("v7"), "all events arrive")
            assert events.topics("v7") == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
            exits = [event for topic, event in events.of("v7") if topic == "/tasks/exit"]
            assert [(each["id"], each["exit_status"]) for each in exits] == [("v7", 3)]

    def test_unknown_runtime_is_refused(self, daemon: Daemon) -> None:
        said = daemon.fails("run", "--runtime", "io.containerd.missing.v2", BUSYBOX, "v8", "true")
        assert "missing" in said
        daemon.ok("containers", "rm", "v8")


def test_what_a_container_inherits(daemon: Daemon) -> None:
    said = daemon.ok("run", "--rm", BUSYBOX, "h1", "grep", "-E", "SigBlk|SigIgn|Umask", "/proc/1/status")
    assert said.split() == ["Umask:", "0022", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16]
    listed = daemon.ok("run", "--rm", BUSYBOX, "h2", "sh", "-c", "ls /proc/1/fd")
    assert set(listed.split()) <= {"0", "1", "2", "3"}  # 3 is ls's own directory, which it is when sh execs it



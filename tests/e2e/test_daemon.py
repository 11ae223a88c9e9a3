"""The daemon itself: its flags, what it refuses, what it survives, and what it leaves."""

import json
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import told
from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until

Fresh = Callable[..., Engine]


@pytest.fixture(scope="module")
def plain() -> Iterator[Engine]:
    """An engine of this module, which is stopped and started, but left running and empty."""
    with Engine() as engine:
        yield engine


@pytest.fixture
def daemon(plain: Engine) -> Iterator[Engine]:
    yield plain
    if not plain.process:
        plain.start()
    for container in plain.docker.ok("ps", "-aq").split():
        plain.docker.ok("rm", "-f", "-v", container)


# Docker 20.10 takes the socket from the daemon that runs before it sees that it may not start.
@pytest.mark.ours
def test_a_second_daemon_on_the_same_data_is_refused(daemon: Engine) -> None:
    code, out = daemon.fails_to_start("--pidfile", str(daemon.root / "pid2"), "-H", f"unix://{daemon.root}/d2.sock")
    assert code != 0 and out
    assert daemon.docker.ok("run", "--rm", "busybox", "echo", "alive") == "alive"


# Docker's second daemon takes over the first one's containerd instead, with all that runs in it.
@pytest.mark.ours
def test_a_second_daemon_on_the_same_exec_root_is_refused(daemon: Engine) -> None:
    box = daemon.docker.ok("run", "-d", "busybox", "sleep", "60")
    other = ["--data-root", f"{daemon.root}/data2", "--pidfile", f"{daemon.root}/pid2"]
    code, out = daemon.fails_to_start(*other, "-H", f"unix://{daemon.root}/d2.sock")
    assert code != 0 and f"exec root {daemon.exec} is in use by dockerd with PID {daemon.pid}" in out
    assert daemon.docker.ok("ps", "-q", "--no-trunc") == box


@pytest.mark.ours
def test_a_pid_file_of_a_living_daemon_is_respected(daemon: Engine) -> None:
    code, out = daemon.fails_to_start()
    assert code != 0 and ("pid" in out.lower())


def test_a_stale_pid_file_is_no_hindrance(daemon: Engine) -> None:
    daemon.stop()
    daemon.pidfile.write_text("4194000")
    daemon.start()
    assert daemon.docker.ok("run", "--rm", "busybox", "echo", "alive") == "alive"
    assert daemon.pidfile.read_text().strip() == str(daemon.pid)


def test_a_pid_file_of_another_program_is_no_hindrance(daemon: Engine) -> None:
    if daemon.reference:
        pytest.skip("Docker 20.10 takes any living process for a daemon")
    daemon.stop()
    daemon.pidfile.write_text(str(os.getpid()))
    daemon.start()


def test_stopping_stops_containers(daemon: Engine) -> None:
    docker = daemon.docker
    docker.ok("run", "-d", "--init", "--name", "runs", "busybox", "sleep", "600")
    pid = int(docker.inspect("runs", "{{.State.Pid}}"))
    assert daemon.stop() == 0
    assert not Path(f"/proc/{pid}").exists()
    assert not daemon.socket.exists() or daemon.reference
    assert not daemon.pidfile.exists()
    daemon.start()
    assert docker.inspect("runs", "{{.State.Status}} {{.State.ExitCode}}") in ("exited 143", "exited 0")
    docker.ok("start", "runs")


def test_restart_policies_at_a_start(daemon: Engine) -> None:
    docker = daemon.docker
    for policy in ("no", "always", "unless-stopped", "on-failure"):
        docker.ok("run", "-d", "--init", "--restart", policy, "--name", f"p-{policy}", "busybox", "sleep", "600")
    obeys = ("busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    docker.ok("run", "-d", "--restart", "on-failure", "--name", "ended", *obeys)
    docker.ok("run", "-d", "--restart", "on-failure:1", "--name", "failed", "busybox", "false")
    until(lambda: docker.inspect("failed", "{{.State.Status}} {{.RestartCount}}") == "exited 1", "it has given up")
    docker.ok("stop", "ended")
    for policy in ("always", "unless-stopped", "on-failure"):
        docker.ok("run", "-d", "--init", "--restart", policy, "--name", f"stopped-{policy}", "busybox", "sleep", "600")
        docker.ok("stop", f"stopped-{policy}")
    daemon.restart()
    wanted = {"p-always", "p-unless-stopped", "p-on-failure", "stopped-always", "stopped-on-failure"}
    until(lambda: wanted <= set(docker.ok("ps", "--format", "{{.Names}}").split()), "policies are applied")
    assert docker.inspect("stopped-unless-stopped", "{{.State.Status}}") == "exited"
    for name in ("p-no", "ended", "failed"):
        assert docker.inspect(name, "{{.State.Status}}") == "exited"


def test_everything_is_there_after_a_restart(daemon: Engine) -> None:
    docker = daemon.docker
    docker.ok("volume", "create", "kept")
    docker(
        "run", "--name", "kept", "-l", "a=b", "-v", "kept:/d", "busybox", "sh", "-c", "echo said; echo x > /d/f; exit 3"
    )
    before = docker.inspect("kept", "{{json .Config}} {{.State.StartedAt}} {{.State.FinishedAt}} {{json .Mounts}}")
    daemon.restart()
    assert (
        docker.inspect("kept", "{{json .Config}} {{.State.StartedAt}} {{.State.FinishedAt}} {{json .Mounts}}") == before
    )
    assert docker.inspect("kept", "{{.State.ExitCode}}") == "3"
    assert docker.ok("logs", "kept") == "said"
    assert docker.ok("run", "--rm", "-v", "kept:/d", "busybox", "cat", "/d/f") == "x"
    docker.ok("rm", "kept")
    docker.ok("volume", "rm", "kept")


@pytest.mark.ours
def test_events_outlive_a_restart(daemon: Engine) -> None:
    daemon.docker.ok("run", "--name", "told", "busybox", "true")
    daemon.restart()
    words = ["--since", "1h", "--until", f"{time.time():.9f}", "--filter", "container=told", "--format", "{{.Action}}"]
    out = daemon.docker.ok("events", *words)
    assert {"create", "start", "die"} <= set(out.split())


def test_a_corrupt_state_file_hides_one_container_only(daemon: Engine) -> None:
    docker = daemon.docker
    broken = docker.ok("create", "--name", "broken", "busybox")
    docker.ok("create", "--name", "whole", "busybox")
    daemon.stop()
    (daemon.data / "containers" / broken / "config.v2.json").write_text('{"half": ')
    daemon.start()
    names = docker.ok("ps", "-a", "--format", "{{.Names}}").split()
    assert "whole" in names
    assert docker.ok("run", "--rm", "busybox", "echo", "alive") == "alive"


def test_live_restore_keeps_containers(fresh: Fresh) -> None:
    engine = fresh("--live-restore")
    engine.docker.ok("run", "-d", "--name", "stays", "busybox", "sleep", "600")
    pid = engine.docker.inspect("stays", "{{.State.Pid}}")
    engine.stop()
    assert Path(f"/proc/{pid}").exists()
    engine.start()
    assert engine.docker.inspect("stays", "{{.State.Status}} {{.State.Pid}}") == f"running {pid}"
    assert engine.docker.ok("exec", "stays", "echo", "in") == "in"


def test_several_listeners(fresh: Fresh) -> None:
    engine = fresh(start=False)
    second, third = engine.root / "second.sock", engine.root / "third.sock"
    bare = [] if engine.reference else ["-H", str(third)]
    engine.start("-H", f"unix://{second}", "-H", "tcp://127.0.0.1:23750", "--tls=false", *bare)
    for path in [second, *([third] if bare else [])]:
        assert API(str(path))("GET", "/_ping").body == b"OK"
    with engine.network.connect("127.0.0.1", 23750) as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in sock.recv(4096)


def test_another_subnet(fresh: Fresh) -> None:
    engine = fresh("--bip", "10.99.0.1/24", "--mtu", "1400")
    out = engine.docker.ok("run", "--rm", "busybox", "sh", "-c", "ip -4 -o addr show eth0; cat /sys/class/net/eth0/mtu")
    assert "inet 10.99.0." in out and out.endswith("1400")
    assert engine.docker.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge") == "10.99.0.0/24"


def test_a_bridge_of_the_users(fresh: Fresh) -> None:
    engine = fresh("--bridge", "br-mine", start=False)
    engine.network.ip("link", "add", "br-mine", "type", "bridge")
    engine.network.ip("addr", "add", "10.98.0.1/24", "dev", "br-mine")
    engine.network.ip("link", "set", "br-mine", "up")
    engine.start()
    engine.load()
    assert "inet 10.98.0." in engine.docker.ok("run", "--rm", "busybox", "ip", "-4", "-o", "addr", "show", "eth0")
    assert "docker0" not in engine.network.ip("-o", "link")


def test_bridge_and_bip_exclude_each_other(fresh: Fresh) -> None:
    engine = fresh(start=False)
    code, out = engine.fails_to_start("--bridge", "br-mine", "--bip", "10.97.0.1/24")
    assert code != 0 and "mutually exclusive" in out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--no-such-flag"], "unknown flag: --no-such-flag"),
        (["--bip", "nonsense"], "nonsense"),
        (["--default-runtime", "nosuch"], "nosuch"),
        (["-H", "carrier-pigeon://x"], "carrier-pigeon"),
    ],
)
def test_flags_that_are_refused(fresh: Fresh, flags: list[str], text: str) -> None:
    code, out = fresh(start=False).fails_to_start(*flags)
    assert code != 0 and text in out


def test_the_configuration_file(fresh: Fresh) -> None:
    engine = fresh(start=False)
    file = engine.root / "daemon.json"
    file.write_text(json.dumps({"debug": True, "labels": ["a=b"], "log-opts": {"max-size": "1m"}}))
    engine.start("--config-file", str(file))
    info = engine.api.get("/info")
    assert info["Debug"] is True and info["Labels"] == ["a=b"]
    engine.load()
    engine.docker.ok("create", "--name", "box", "busybox")
    assert engine.docker.inspect("box", '{{index .HostConfig.LogConfig.Config "max-size"}}') == "1m"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (
            '{"debug": true}',
            "the following directives are specified both as a flag and in the configuration file: debug",
        ),
        ('{"no-such-key": 1}', "the following directives don't match any configuration option: no-such-key"),
        ("{broken", "daemon.json"),
    ],
)
def test_configuration_files_that_are_refused(fresh: Fresh, document: str, text: str) -> None:
    engine = fresh(start=False)
    file = engine.root / "daemon.json"
    file.write_text(document)
    code, out = engine.fails_to_start("--config-file", str(file), "--debug")
    assert code != 0 and text in out


@pytest.mark.ours
def test_a_missing_runtime_is_told_with_the_way_to_get_it(fresh: Fresh) -> None:
    flags = ("--add-runtime", "gone=/nowhere/gone", "--default-runtime", "gone")
    code, out = fresh(start=False).fails_to_start(*flags)
    assert code != 0 and "/nowhere/gone" in out and "apt-get install" in out


@pytest.mark.ours
def test_without_root_it_says_so(fresh: Fresh) -> None:
    engine = fresh(start=False)
    words = ["setpriv", "--reuid=65534", "--clear-groups", *engine.command()[engine.command().index("--") + 1 :]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and ("root" in done.stderr or "Permission denied" in done.stderr)


def test_a_full_disk(fresh: Fresh) -> None:
    """Whatever fails says so; with room again all goes on."""
    engine = fresh(size="24m")
    docker = engine.docker
    docker.ok("run", "-d", "--name", "before", "busybox", "sleep", "600")
    result = docker("run", "--name", "filler", "busybox", "sh", "-c", "head -c 40000000 /dev/zero > /fill")
    assert result.code != 0 and re.search("No space left on device|I/O error", result.err)
    refused = docker("run", "--name", "another", "busybox", "true")
    assert engine.api("GET", "/_ping").status == 200
    assert docker.inspect("before", "{{.State.Running}}") == "true"
    docker.ok("rm", "-f", "filler")
    if refused.code:
        docker("rm", "-f", "another")
    assert docker.ok("run", "--rm", "busybox", "echo", "room") == "room"
    assert docker.ok("exec", "before", "echo", "on") == "on"


def test_two_engines_side_by_side(fresh: Fresh) -> None:
    first, second = fresh(), fresh()
    first.docker.ok("run", "-d", "--init", "--name", "same", "-p", "8080:80", "busybox", "sleep", "600")
    second.docker.ok("run", "-d", "--init", "--name", "same", "-p", "8080:80", "busybox", "sleep", "600")
    assert first.docker.inspect("same", "{{.Id}}") != second.docker.inspect("same", "{{.Id}}")
    second.stop()
    assert first.docker.ok("exec", "same", "echo", "on") == "on"


@pytest.mark.ours
def test_nothing_is_left(fresh: Fresh) -> None:
    engine = fresh()
    docker = engine.docker
    docker.ok("run", "-d", "--init", "-p", "8080:80", "-p", "8081:81/udp", "-v", "v1:/v", "busybox", "sleep", "600")
    docker.ok("run", "-d", "--init", "--network", "none", "--tmpfs", "/x", "busybox", "sleep", "600")
    assert engine.stop() == 0
    assert engine.remains() == []


@pytest.mark.ours
def test_a_containerd_that_runs_already(fresh: Fresh) -> None:
    engine = fresh(start=False)
    address = engine.root / "c.sock"
    program = Path(engine.command()[engine.command().index("--") + 1]).with_name("docker-containerd")
    words = [
        str(program),
        "--root",
        str(engine.root / "c"),
        "--state",
        str(engine.root / "cs"),
        "--address",
        str(address),
    ]
    with (engine.root / "c.log").open("wb") as log:
        child = subprocess.Popen(engine.network.command(*words), stdout=log, stderr=log, start_new_session=True)
    try:
        until(address.exists, "docker-containerd listens")
        for by in told.BY:
            row = (f"--containerd={address}",), "containerd", str(address)
            engine.start(*told.words(by, [row], engine.root / "daemon.json"))
            engine.load()
            assert engine.docker.ok("run", "--rm", "busybox", "echo", "through") == "through"
            assert not engine.pids("docker-containerd")[1:], "it has none of its own"
            engine.stop()
            assert child.poll() is None
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def test_stacks_are_dumped_on_request(daemon: Engine) -> None:
    os.kill(daemon.pid, signal.SIGUSR1)
    docker: Docker = daemon.docker
    assert docker.ok("run", "--rm", "busybox", "echo", "alive") == "alive"


@pytest.mark.ours  # Docker 20.10 has no key for the address pools it is given here, and live-restore needs no such care
def test_the_sample_configuration_serves(fresh: Fresh) -> None:
    sample = Path(__file__).parents[2] / "deploy" / "daemon.json"
    engine = fresh("--config-file", str(sample), start=False)
    words = engine.command()
    place = words.index("--data-root")  # the sample says where its own is
    done = subprocess.run([*words[:place], *words[place + 2 :], "--validate"], capture_output=True, text=True)
    assert done.stdout + done.stderr == "configuration OK\n"
    told = json.loads(sample.read_text())
    own = engine.root / "daemon.json"
    limit = told["default-ulimits"]["nofile"]
    # Where even root may not raise limits, the sample's would refuse every container.
    limit["Hard"] = min(limit["Hard"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    own.write_text(json.dumps({key: value for key, value in told.items() if key != "data-root"}))
    engine.flags = ["--config-file", str(own)]
    engine.start()
    engine.load()
    assert engine.docker.ok("info", "-f", "{{.LiveRestoreEnabled}} {{.LoggingDriver}}") == "true json-file"
    limits = engine.docker.ok("run", "--rm", "--name", "limited", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn")
    assert limits.split() == ["1024", str(limit["Hard"])]
    engine.docker.ok("network", "create", "own")
    assert engine.docker.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "own").startswith("172.2")
    engine.docker.ok("run", "-d", "--name", "logs", "busybox", "true")
    assert engine.docker.inspect("logs", "{{json .HostConfig.LogConfig.Config}}") == json.dumps(
        {"compress": "true", "max-file": "3", "max-size": "10m"}, separators=(",", ":"))


@pytest.mark.ours
def test_another_data_root_takes_over_no_containers(fresh: Callable[..., Engine], tmp_path: Path) -> None:
    """The docker-containerd of a killed dockerd is adopted by nobody else, though its exec root is free."""
    engine = fresh()
    name = engine.docker.ok("run", "-d", "busybox", "sleep", "300")
    engine.kill()
    code, said = engine.fails_to_start("--data-root", str(tmp_path / "other"))
    assert code == 1 and "is in use: docker-containerd (PID " in said and str(engine.data) in said
    engine.start()
    assert engine.docker.inspect(name, "{{.State.Running}}") == "true"

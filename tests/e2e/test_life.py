"""stop, kill, restart, pause, wait, rename, rm, update, and the restart policies."""

import json
import re
import time

import pytest

from tests.harness.cli import Docker, end
from tests.harness.engine import REFERENCE
from tests.harness.http import API
from tests.harness.wait import until

DEAF = ("busybox", "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done")


@pytest.fixture
def box(docker: Docker, name: str) -> str:
    script = "trap 'exit 0' TERM; echo set; while :; do sleep 0.1; done"
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    until(lambda: docker.ok("logs", name) == "set", "the trap is set")
    return name


def state(docker: Docker, name: str) -> str:
    return docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")


def test_stop(docker: Docker, box: str) -> None:
    assert docker.ok("stop", box) == box
    assert state(docker, box) == "exited 0"
    assert docker.ok("stop", box) == box


def test_stop_kills_the_deaf_in_time(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, *DEAF)
    until(lambda: docker.ok("logs", name) == "deaf", "the trap is set")
    before = time.monotonic()
    docker.ok("stop", "-t", "1", name)
    assert 0.9 < time.monotonic() - before < 9
    assert state(docker, name) == "exited 137"


def test_stop_timeout_of_the_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--stop-timeout", "1", "--name", name, *DEAF)
    until(lambda: docker.ok("logs", name) == "deaf", "the trap is set")
    docker.ok("stop", name, timeout=9)
    assert state(docker, name) == "exited 137"


def test_stop_several(docker: Docker) -> None:
    made = [docker.ok("run", "-d", "--init", "busybox", "sleep", "60") for _ in range(3)]
    assert docker.ok("stop", *made).split() == made


def test_kill(docker: Docker, box: str) -> None:
    assert docker.ok("kill", box) == box
    until(lambda: state(docker, box) == "exited 137", "it is dead")


@pytest.mark.parametrize("signal", ["USR1", "SIGUSR1", "10"])
def test_kill_with_a_signal(docker: Docker, name: str, signal: str) -> None:
    docker.ok(
        "run",
        "-d",
        "--name",
        name,
        "busybox",
        "sh",
        "-c",
        "trap 'echo usr1' USR1; echo go; while :; do sleep 0.05; done",
    )
    until(lambda: docker.ok("logs", name) == "go", "the trap is set")
    docker.ok("kill", "-s", signal, name)
    until(lambda: docker.ok("logs", name).split() == ["go", "usr1"], "the signal arrives")
    assert docker.inspect(name, "{{.State.Running}}") == "true"


def test_kill_with_nonsense(docker: Docker, box: str) -> None:
    assert "Invalid signal: NONSENSE" in docker.fails("kill", "-s", "NONSENSE", box, code=1)


def test_kill_of_the_stopped(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "busybox")
    text = docker.fails("kill", name, code=1)
    assert re.search(rf"[Cc]annot kill container: {name}.*{container} is not running", text)


def test_restart(docker: Docker, box: str) -> None:
    before = docker.inspect(box, "{{.State.Pid}} {{.State.StartedAt}}").split()
    assert docker.ok("restart", "-t", "5", box) == box
    after = docker.inspect(box, "{{.State.Pid}} {{.State.StartedAt}} {{.State.Running}} {{.RestartCount}}").split()
    assert before[0] != after[0] and before[1] < after[1] and after[2:] == ["true", "0"]


def test_restart_of_the_stopped_starts_it(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox", "sleep", "60")
    docker.ok("restart", name)
    assert docker.inspect(name, "{{.State.Running}}") == "true"


def test_start_again_keeps_the_files(docker: Docker, name: str) -> None:
    script = "[ -e /seen ] && echo again; touch /seen"
    docker("run", "--name", name, "busybox", "sh", "-c", script)
    assert docker.ok("start", "-a", name) == "again"


def test_pause_and_unpause(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "while :; do date +%s%N > /beat; sleep 0.05; done")
    until(lambda: docker("cp", f"{name}:/beat", "-").code == 0, "it beats")
    assert docker.ok("pause", name) == name
    assert docker.inspect(name, "{{.State.Status}} {{.State.Paused}} {{.State.Running}}") == "paused true true"
    assert docker.ok("ps", "--format", "{{.Status}}").endswith("(Paused)")
    first = docker.ok("cp", f"{name}:/beat", "-")
    assert docker.ok("cp", f"{name}:/beat", "-") == first
    assert docker.ok("unpause", name) == name
    until(lambda: docker.ok("cp", f"{name}:/beat", "-") != first, "it goes on")


def test_pause_twice(docker: Docker, box: str) -> None:
    docker.ok("pause", box)
    assert "is already paused" in docker.fails("pause", box, code=1)
    docker.ok("unpause", box)
    assert "is not paused" in docker.fails("unpause", box, code=1)


def test_pause_of_the_stopped(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox")
    assert "is not running" in docker.fails("pause", name, code=1)
    assert "is not paused" in docker.fails("unpause", name, code=1)


def test_stop_of_the_paused(docker: Docker, box: str) -> None:
    docker.ok("pause", box)
    docker.ok("stop", "-t", "2", box)
    assert state(docker, box).split()[0] == "exited"


def test_wait(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 0.5; exit 17")
    assert docker.ok("wait", name) == "17"
    assert docker.ok("wait", name, name).split() == ["17", "17"]


def test_wait_flushes_its_head_at_once(api: API) -> None:
    box = api.create("sleep", "60")
    with api.stream("POST", f"/v1.30/containers/{box}/wait", condition="next-exit") as stream:
        assert stream.status == 200 and stream.unread == b""
        api.start(box)
        api("POST", f"/containers/{box}/kill")
        assert b'"StatusCode":137' in stream.until(b"137")


def test_wait_for_removal(api: API) -> None:
    box = api.create("true", HostConfig={"AutoRemove": True})
    with api.stream("POST", f"/containers/{box}/wait", condition="removed") as stream:
        api.start(box)
        assert b'"StatusCode":0' in stream.until(b"StatusCode")
    assert api("GET", f"/containers/{box}/json").status == 404


@pytest.mark.ours
def test_wait_for_nonsense(api: API) -> None:
    box = api.create("true")
    reply = api("POST", f"/containers/{box}/wait", condition="sometime")
    assert reply.status == 400 and reply.message.startswith('invalid condition: "sometime"')


def test_rename(docker: Docker, box: str) -> None:
    container = docker.inspect(box, "{{.Id}}")
    docker.ok("rename", box, f"{box}-new")
    assert docker.inspect(f"{box}-new", "{{.Id}} {{.Name}}") == f"{container} /{box}-new"
    assert "No such object" in docker.fails("inspect", box, code=1)
    docker.ok("run", "-d", "--name", box, "busybox", "true")


def test_rename_to_a_name_in_use(docker: Docker, box: str) -> None:
    other = docker.ok("create", "--name", f"{box}-other", "busybox")
    text = docker.fails("rename", box, f"{box}-other", code=1)
    assert f'Conflict. The container name "/{box}-other" is already in use by container "{other}"' in text


def test_rename_to_nonsense(docker: Docker, box: str) -> None:
    assert re.search(r"Invalid container name \(/?a/b\), only", docker.fails("rename", box, "a/b", code=1))
    assert docker.fails("rename", box, box, code=1)


def test_rm(docker: Docker, name: str) -> None:
    container = docker.ok("create", "--name", name, "busybox")
    assert docker.ok("rm", name) == name
    assert "No such container" in docker.fails("rm", container, code=1)


def test_rm_of_what_runs(docker: Docker, box: str) -> None:
    text = docker.fails("rm", box, code=1)
    assert re.search(r"[Ss]top the container before (attempting removal or|removing or) force remov", text)
    assert docker.ok("rm", "-f", box) == box


def test_rm_force_of_nothing(docker: Docker) -> None:
    result = docker("rm", "-f", "not-there")
    assert "No such container: not-there" in result.err


def test_rm_with_volumes(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "-v", "/anonymous", "-v", "named:/named", "busybox")
    anonymous = docker.inspect(name, '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}}{{end}}{{end}}')
    assert {anonymous, "named"} <= set(docker.ok("volume", "ls", "-q").split())
    docker.ok("rm", "-v", name)
    assert docker.ok("volume", "ls", "-q").split() == ["named"]


def test_rm_leaves_volumes(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "-v", "/anonymous", "busybox")
    docker.ok("rm", name)
    assert len(docker.ok("volume", "ls", "-q").split()) == 1


def test_update_of_memory(docker: Docker, box: str) -> None:
    docker.ok("update", "-m", "64m", "--memory-swap", "64m", box)
    assert docker.inspect(box, "{{.HostConfig.Memory}}") == str(64 << 20)
    read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true"
    assert docker.ok("exec", box, "sh", "-c", read) == str(64 << 20)


def test_container_prune(docker: Docker, box: str) -> None:
    docker.ok("create", "busybox")
    assert "Total reclaimed space" in docker.ok("container", "prune", "-f")
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == box


def test_diff(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "sh", "-c", "touch /tmp/new; rm /etc/shadow; echo x >> /etc/profile")
    assert sorted(docker.ok("diff", name).splitlines()) == [
        "A /tmp/new",
        "C /etc",
        "C /etc/profile",
        "C /tmp",
        "D /etc/shadow",
    ]


def test_export(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "touch", "/mark")
    assert b"mark" in docker("export", name).stdout


def test_on_failure_counts(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--restart", "on-failure:2", "--name", name, "busybox", "sh", "-c", "echo run; exit 1")
    ended = "{{.State.Status}} {{.RestartCount}}"
    until(lambda: docker.inspect(name, ended) == "exited 2", "two restarts, then the end")
    assert docker.ok("logs", name).split() == ["run"] * 3


def test_on_failure_leaves_success_alone(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--restart", "on-failure", "--name", name, "busybox", "true")
    docker.ok("wait", name)
    assert docker.inspect(name, "{{.State.Status}} {{.RestartCount}}") == "exited 0"


def test_always_restarts_until_stopped(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--restart", "always", "--name", name, "busybox", "sh", "-c", "echo run; sleep 0.2")
    until(lambda: int(docker.inspect(name, "{{.RestartCount}}")) >= 2, "two restarts")
    docker.ok("stop", name)
    count = docker.inspect(name, "{{.RestartCount}} {{.State.Running}}")
    assert count.endswith("false") and docker.inspect(name, "{{.RestartCount}} {{.State.Running}}") == count


def test_a_kill_by_the_user_is_no_failure(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--restart", "unless-stopped", "--name", name, "busybox", "sleep", "600")
    docker.ok("kill", name)
    until(lambda: docker.inspect(name, "{{.State.Running}}") == "false", "it stays down")
    assert docker.inspect(name, "{{.RestartCount}}") == "0"


def test_a_death_from_within_restarts(docker: Docker, name: str) -> None:
    docker.ok(
        "run",
        "-d",
        "--restart",
        "unless-stopped",
        "--name",
        name,
        "busybox",
        "sh",
        "-c",
        "trap 'exit 1' TERM; echo set; while :; do sleep 0.05; done",
    )
    until(lambda: docker.ok("logs", name) == "set", "the trap is set")
    docker.ok("exec", name, "kill", "1")
    until(lambda: docker.inspect(name, "{{.RestartCount}} {{.State.Running}}") == "1 true", "it is back")


@pytest.mark.parametrize(
    ("policy", "text"),
    [("sometimes", "sometimes"), ("always:3", "maximum retry count"), ("on-failure:-1", "retry count")],
)
def test_bad_policies_are_refused(docker: Docker, policy: str, text: str) -> None:
    assert text in docker.fails("create", "--restart", policy, "busybox", code=1 if policy == "" else None).lower()


def test_back_off_doubles(docker: Docker, name: str) -> None:
    """100 ms, 200, 400, 800: five runs that fail at once take more than a second."""
    before = time.monotonic()
    docker.ok("run", "-d", "--restart", "on-failure:4", "--name", name, "busybox", "false")
    until(lambda: docker.inspect(name, "{{.State.Status}} {{.RestartCount}}") == "exited 4", "four restarts")
    assert time.monotonic() - before > 1.5


def test_start_of_many_at_once(api: API) -> None:
    """The same container, started from several clients: one starts it, the others are told 304."""
    import threading

    box = api.create("sleep", "60")
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(api("POST", f"/containers/{box}/start").status))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if REFERENCE:  # it says 204 to those, too, who came while the first was starting it
        assert len(statuses) == 6 and {204} <= set(statuses) <= {204, 304}
    else:
        assert sorted(statuses) == [204] + [304] * 5


def test_stop_and_start_say_304(api: API) -> None:
    box = api.create("sleep", "60")
    assert api("POST", f"/containers/{box}/stop").status == 304
    api.start(box)
    assert api("POST", f"/containers/{box}/start").status == 304


def test_stats_once(docker: Docker, box: str) -> None:
    row = json.loads(docker.ok("stats", "--no-stream", "--format", "{{json .}}", box))
    assert row["Name"] == box and row["PIDs"].isdigit() and "/" in row["MemUsage"] and row["CPUPerc"].endswith("%")


def test_stats_stream(docker: Docker, box: str) -> None:
    child = docker.start("stats", "--format", "{{.Name}} {{.NetIO}}", box)
    try:
        assert child.stdout
        seen = b""
        while seen.count(box.encode()) < 2:
            seen += child.stdout.read(4096)
    finally:
        end(child)


def test_stats_fields(api: API) -> None:
    box = api.create("sleep", "60", name="gauge")
    api.start(box)
    stats = api.get(f"/containers/{box}/stats", stream=0)
    assert stats["name"] == "/gauge" and stats["id"] == box
    assert {"usage_in_usermode", "usage_in_kernelmode", "total_usage"} <= set(stats["cpu_stats"]["cpu_usage"])
    assert stats["cpu_stats"]["online_cpus"] >= 1 and stats["cpu_stats"]["system_cpu_usage"] > 0
    assert stats["precpu_stats"]["system_cpu_usage"] > 0
    assert stats["memory_stats"]["usage"] > 0 and stats["memory_stats"]["limit"] > 0
    assert stats["pids_stats"]["current"] == 1
    assert {"rx_bytes", "tx_bytes", "rx_packets"} <= set(stats["networks"]["eth0"])


def test_stats_of_nothing(docker: Docker) -> None:
    assert "No such container: not-there" in docker.fails("stats", "--no-stream", "not-there")

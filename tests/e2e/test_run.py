"""`docker run`: output, exit codes, and what each flag does to the container."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.harness.cli import Docker, end
from tests.harness.engine import Engine
from tests.harness.wait import until

SHELL = ("busybox", "sh", "-c")


def test_output_and_errors_stay_apart(docker: Docker) -> None:
    result = docker("run", "--rm", *SHELL, "echo out; echo err >&2")
    assert (result.code, result.out, result.err) == (0, "out\n", "err\n")


@pytest.mark.parametrize("code", [0, 1, 7, 42, 255])
def test_exit_code_is_the_commands(docker: Docker, code: int) -> None:
    assert docker("run", "--rm", *SHELL, f"exit {code}").code == code


def test_death_by_signal_is_128_and_more(docker: Docker) -> None:
    assert docker("run", "--rm", "--init", *SHELL, "kill -9 $$").code == 137


def test_input_is_fed_and_ended(docker: Docker) -> None:
    assert docker.ok("run", "-i", "--rm", "busybox", "cat", stdin=b"one\ntwo\n") == "one\ntwo"


def test_large_input_comes_back_whole(docker: Docker) -> None:
    data = os.urandom(3 << 20)
    assert docker("run", "-i", "--rm", "busybox", "cat", stdin=data).stdout == data


def test_without_i_input_is_empty(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "busybox", "cat", stdin=b"ignored") == ""


def test_large_output_comes_whole(docker: Docker) -> None:
    out = docker("run", "--rm", "busybox", "seq", "1", "200000").out
    assert out.splitlines() == [str(number) for number in range(1, 200001)]


def test_detached_prints_the_id(docker: Docker) -> None:
    container = docker.ok("run", "-d", "busybox", "true")
    assert len(container) == 64 and int(container, 16) >= 0
    assert docker.ok("wait", container) == "0"


def test_rm_removes_when_it_ends(docker: Docker, name: str) -> None:
    docker.ok("run", "--rm", "--name", name, "busybox", "true")
    until(lambda: docker("inspect", name).code == 1, "container removed")


def test_rm_detached_removes_when_it_ends(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--rm", "--name", name, "busybox", "true")
    until(lambda: docker("inspect", name).code == 1, "container removed")


def test_name_and_hostname(docker: Docker, name: str) -> None:
    assert docker.ok("run", "--name", name, "--hostname", "here.example", "busybox", "hostname") == "here.example"
    assert docker.inspect(name, "{{.Name}} {{.Config.Hostname}}") == f"/{name} here.example"


def test_hostname_is_the_short_id_by_default(docker: Docker, name: str) -> None:
    hostname = docker.ok("run", "--name", name, "busybox", "hostname")
    assert hostname == docker.inspect(name, "{{.Id}}")[:12]


def test_a_name_is_made_up(docker: Docker) -> None:
    container = docker.ok("create", "busybox")
    left, _, right = docker.inspect(container, "{{.Name}}").removeprefix("/").partition("_")
    assert left.isalpha() and right


def test_environment(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "-e", "A=1", "-e", "B=two words", "-e", "NOT_SET_HERE", "busybox", "env")
    lines = out.splitlines()
    assert {"A=1", "B=two words", "HOME=/root"} <= set(lines)
    assert not any(line.startswith("NOT_SET_HERE") for line in lines)
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in lines
    assert any(line.startswith("HOSTNAME=") for line in lines)


def test_working_directory_is_made(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "-w", "/deep/down/here", "busybox", "pwd") == "/deep/down/here"


def test_relative_working_directory_is_refused(docker: Docker) -> None:
    assert "needs to be an absolute path" in docker.fails("run", "--rm", "-w", "deep", "busybox", "pwd")


@pytest.mark.parametrize(
    ("user", "answer"),
    [
        ("nobody", "uid=65534(nobody) gid=65534(nobody) groups=65534(nobody)"),
        ("1000", "uid=1000 gid=0(root) groups=0(root)"),
        ("1000:1001", "uid=1000 gid=1001 groups=1001"),
        ("daemon:users", "uid=1(daemon) gid=100(users) groups=100(users)"),
    ],
)
def test_user(docker: Docker, user: str, answer: str) -> None:
    assert docker.ok("run", "--rm", "-u", user, "busybox", "id") == answer


def test_unknown_user(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "-u", "nobody-known", "busybox", "true", code=125)
    assert "unable to find user nobody-known: no matching entries in passwd file" in text


def test_group_add(docker: Docker) -> None:
    groups = docker.ok("run", "--rm", "--group-add", "mail", "--group-add", "4242", "busybox", "id", "-G").split()
    assert {"0", "8", "4242"} <= set(groups)


def test_labels(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "-l", "one=1", "-l", "empty", "busybox")
    assert docker.inspect(name, "{{json .Config.Labels}}") == '{"empty":"","one":"1"}'


def test_entrypoint_replaces_and_takes_the_command_along(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b"
    assert docker("run", "--rm", "--entrypoint", "true", "busybox").code == 0


def test_read_only_root(docker: Docker) -> None:
    result = docker("run", "--rm", "--read-only", *SHELL, "touch /file; touch /dev/shm/file && echo shm")
    assert "Read-only file system" in result.err and result.out == "shm\n"


def test_tmpfs(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "--tmpfs", "/scratch:size=64k,mode=700", *SHELL, "grep /scratch /proc/mounts")
    assert out.startswith("tmpfs /scratch tmpfs rw,") and "size=64k" in out and "noexec" in out


def test_shm_size(docker: Docker) -> None:
    assert docker.ok("run", "--rm", *SHELL, "df -k /dev/shm | tail -1").split()[1] == "65536"
    assert docker.ok("run", "--rm", "--shm-size", "8m", *SHELL, "df -k /dev/shm | tail -1").split()[1] == "8192"


def test_memory_limit(docker: Docker, name: str) -> None:
    read = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert docker.ok("run", "--name", name, "-m", "32m", *SHELL, read + " || true") == str(32 << 20)
    assert docker.inspect(name, "{{.HostConfig.Memory}}") == str(32 << 20)


def test_memory_too_small_is_refused(docker: Docker) -> None:
    assert "Minimum memory limit allowed is 6MB" in docker.fails("run", "-m", "1m", "busybox", "true", code=125)


def test_out_of_memory_is_told(docker: Docker, name: str) -> None:
    code = docker("run", "--name", name, "-m", "16m", "--memory-swap", "16m", *SHELL, "tail /dev/zero", timeout=60).code
    assert code in (1, 137)
    until(lambda: docker.inspect(name, "{{.State.OOMKilled}}") == "true", "OOMKilled is set")


def test_cpus(docker: Docker) -> None:
    read = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null || true"
    assert docker.ok("run", "--rm", "--cpus", "1.5", *SHELL, read).split()[0] == "150000"


def test_cpu_shares(docker: Docker) -> None:
    read = "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null || true"
    assert docker.ok("run", "--rm", "--cpu-shares", "512", *SHELL, read) in ("512", "20")


def test_cpuset(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "--cpuset-cpus", "0", *SHELL, "grep Cpus_allowed_list /proc/self/status").endswith(
        "0"
    )


def test_pids_limit(docker: Docker) -> None:
    result = docker("run", "--rm", "--pids-limit", "8", *SHELL, "for i in $(seq 20); do sleep 1 & done; wait")
    assert "can't fork" in result.err


def test_ulimit(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "--ulimit", "nofile=100:200", *SHELL, "ulimit -Sn; ulimit -Hn").split() == [
        "100",
        "200",
    ]


def test_sysctl(docker: Docker) -> None:
    read = ("busybox", "cat", "/proc/sys/net/ipv4/ip_default_ttl")
    assert docker.ok("run", "--rm", "--sysctl", "net.ipv4.ip_default_ttl=42", *read) == "42"


def test_sysctl_of_the_host_is_refused(docker: Docker) -> None:
    assert "sysctl" in docker.fails("run", "--rm", "--sysctl", "kernel.panic=1", "busybox", "true", code=125)


def test_device(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "--device", "/dev/null:/dev/mine:r", *SHELL, "ls -l /dev/mine; cat /dev/mine")
    assert out.startswith("crw-rw-rw-") and " 1,   3 " in out
    assert docker("run", "--rm", "--device", "/dev/fuse:/dev/mine:w", *SHELL, "cat /dev/mine").code != 0


def test_missing_device(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "--device", "/dev/not-there", "busybox", "true", code=127)
    assert (
        'error gathering device information while adding custom device "/dev/not-there": no such file or directory'
        in text
    )


def test_init_reaps_and_forwards(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--init", "--name", name, "busybox", "sleep", "600")
    assert "init" in docker.ok("exec", name, "cat", "/proc/1/comm")
    docker.ok("stop", name)
    assert docker.inspect(name, "{{.State.ExitCode}}") == "143"


def test_stop_signal(docker: Docker, name: str) -> None:
    script = "trap 'echo got usr1; exit 3' USR1; echo set; while :; do sleep 0.05; done"
    docker.ok("run", "-d", "--stop-signal", "USR1", "--name", name, *SHELL, script)
    until(lambda: docker.ok("logs", name) == "set", "the trap is set")
    docker.ok("stop", name)
    assert docker.ok("logs", name).splitlines() == ["set", "got usr1"]
    assert docker.inspect(name, "{{.State.ExitCode}}") == "3"


def test_add_host(docker: Docker) -> None:
    hosts = docker.ok("run", "--rm", "--add-host", "away.example:192.0.2.7", "busybox", "cat", "/etc/hosts")
    assert ["192.0.2.7", "away.example"] in [line.split() for line in hosts.splitlines()]


def test_hosts_file_names_the_container(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "--hostname", "me", *SHELL, "hostname -i; cat /etc/hosts")
    address, *hosts = out.splitlines()
    assert [address, "me"] in [line.split() for line in hosts]
    assert ["127.0.0.1", "localhost"] in [line.split() for line in hosts]


def test_dns(docker: Docker) -> None:
    options = ("--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3")
    lines = docker.ok("run", "--rm", *options, "busybox", "cat", "/etc/resolv.conf").splitlines()
    assert {"nameserver 192.0.2.53", "search example.org", "options ndots:3"} <= set(lines)


def test_cidfile(docker: Docker, tmp_path: Path) -> None:
    path = tmp_path / "id"
    container = docker.ok("run", "-d", "--cidfile", str(path), "busybox", "true")
    assert path.read_text() == container


def test_log_options(docker: Docker, name: str) -> None:
    docker.ok("run", "--name", name, "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "busybox", "true")
    assert docker.inspect(name, "{{json .HostConfig.LogConfig.Config}}") == '{"max-file":"2","max-size":"1m"}'


def test_unknown_log_option_is_refused(docker: Docker) -> None:
    assert "unknown log opt 'colour'" in docker.fails("run", "--log-opt", "colour=red", "busybox", "true", code=125)


def test_no_log_driver(docker: Docker, name: str) -> None:
    assert docker.ok("run", "--log-driver", "none", "--name", name, "busybox", "echo", "hi") == "hi"
    assert "configured logging driver does not support reading" in docker.fails("logs", name)


def test_network_none(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo"


def test_network_host(docker: Docker, engine: Engine) -> None:
    out = docker.ok("run", "--rm", "--network", "host", "busybox", "ip", "-o", "link")
    assert "uplink" in out and "docker0" in out


def test_ports_published_on_the_hosts_network_are_warned_of(docker: Docker) -> None:
    done = docker("create", "--rm", "--network", "host", "-p", "80", "busybox")
    assert done.code == 0 and "Published ports are discarded when using host network mode" in done.err
    docker.ok("rm", done.out.strip())


def test_network_of_another_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    read = ("busybox", "readlink", "/proc/self/ns/net")
    assert docker.ok("run", "--rm", "--network", f"container:{name}", *read) == docker.ok("exec", name, *read[1:])


def test_network_of_a_missing_container(docker: Docker) -> None:
    assert "No such container: not-there" in docker.fails("run", "--network", "container:not-there", "busybox", "true")


def test_pid_and_ipc_and_uts_of_the_host(docker: Docker) -> None:
    for flag, kind in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts")):
        out = docker.ok("run", "--rm", flag, "host", "busybox", "readlink", f"/proc/self/ns/{kind}")
        assert out == str(Path(f"/proc/self/ns/{kind}").readlink())


def test_pid_namespace_of_another_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "4321")
    assert "sleep 4321" in docker.ok("run", "--rm", "--pid", f"container:{name}", "busybox", "ps", "-o", "args")


def test_signals_are_passed_on(docker: Docker, name: str) -> None:
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    child = docker.start("run", "--name", name, *SHELL, script)
    try:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == b"caught\n"
        assert child.wait(20) == 5
    finally:
        end(child)


def test_output_arrives_while_it_runs(docker: Docker) -> None:
    child = docker.start("run", "--rm", "-i", *SHELL, "echo first; read line; echo got $line")
    try:
        assert child.stdout and child.stdin
        assert child.stdout.readline() == b"first\n"
        child.stdin.write(b"second\n")
        assert child.stdout.readline() == b"got second\n"
        assert child.wait(20) == 0
    finally:
        end(child)


def test_attach_only_to_errors(docker: Docker) -> None:
    result = docker("run", "--rm", "-a", "stderr", *SHELL, "echo out; echo err >&2")
    assert (result.out, result.err) == ("", "err\n")


def test_restart_and_rm_exclude_each_other(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "--restart", "always", "busybox", "true", code=125)
    assert "Conflicting options" in text or "conflicting options" in text


def test_many_at_once(docker: Docker) -> None:
    children = [docker.start("run", "--rm", "busybox", "echo", str(number)) for number in range(8)]
    try:
        for number, child in enumerate(children):
            out, err = child.communicate(timeout=60)
            assert (out, err, child.returncode) == (f"{number}\n".encode(), b"", 0)
    finally:
        for child in children:
            end(child)


def test_an_ended_container_keeps_its_times(docker: Docker, name: str) -> None:
    before = time.time()
    docker("run", "--name", name, *SHELL, "sleep 0.2; exit 3")
    state = docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.Pid}}")
    assert state == "exited 3 false 0"
    started, finished = docker.inspect(name, "{{.State.StartedAt}} {{.State.FinishedAt}}").split()
    assert started < finished and started.endswith("Z")
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(before)) <= started

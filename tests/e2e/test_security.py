"""What a container may do, sees, and inherits: as tight as Docker's, or tighter."""

import json
import re
from pathlib import Path

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.python import host_python

DEFAULT = 0x00000000A80425FB
FAMILIES = """
import socket
for family, kind in ((38, 5), (40, 1), (2, 1), (10, 1), (1, 1)):
    try:
        socket.socket(family, kind).close()
        print(family, 'open')
    except OSError as error:
        print(family, error.errno)
"""
STATUS = ("busybox", "cat", "/proc/1/status")


def status(docker: Docker, *flags: str) -> dict[str, str]:
    lines = docker.ok("run", "--rm", *flags, *STATUS).splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def test_default_capabilities(docker: Docker) -> None:
    told = status(docker)
    assert {told[key] for key in ("CapPrm", "CapEff", "CapBnd")} == {f"{DEFAULT:016x}"}
    assert (told["CapInh"], told["CapAmb"]) == ("0" * 16, "0" * 16)


def test_a_user_has_no_effective_capabilities(docker: Docker) -> None:
    told = status(docker, "-u", "1000")
    assert (told["CapEff"], told["CapPrm"], told["CapInh"]) == ("0" * 16,) * 3
    assert told["CapBnd"] == f"{DEFAULT:016x}"


@pytest.mark.parametrize(
    ("flags", "effective"),
    [
        (("--cap-drop", "ALL"), 0),
        (("--cap-drop", "all", "--cap-add", "NET_BIND_SERVICE"), 1 << 10),
        (("--cap-add", "SYS_TIME"), DEFAULT | 1 << 25),
        (("--cap-add", "CAP_SYS_TIME"), DEFAULT | 1 << 25),
        (("--cap-drop", "chown"), DEFAULT & ~1),
    ],
)
def test_capabilities_as_asked(docker: Docker, flags: tuple[str, ...], effective: int) -> None:
    told = status(docker, *flags)
    assert int(told["CapEff"], 16) == effective and told["CapInh"] == "0" * 16


@pytest.mark.ours
@pytest.mark.parametrize("flags", [("--cap-add", "ALL"), ("--privileged",)])
def test_all_capabilities(docker: Docker, flags: tuple[str, ...]) -> None:
    """All that the daemon has itself; Docker 20.10 fails where a machine withholds one."""
    (bounding,) = re.findall(r"CapBnd:\s+(\w+)", Path("/proc/self/status").read_text())
    assert status(docker, *flags)["CapEff"] == bounding


def test_an_unknown_capability(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "--cap-add", "FLY", "busybox", "true", code=125)
    assert re.search(r"invalid capability|[Uu]nknown capability", text) and "FLY" in text


def test_seccomp_filters(docker: Docker) -> None:
    assert status(docker)["Seccomp"] == "2"
    assert status(docker, "--security-opt", "seccomp=unconfined")["Seccomp"] == "0"


@pytest.mark.ours
def test_privileged_has_no_filter(docker: Docker) -> None:
    assert status(docker, "--privileged")["Seccomp"] == "0"


@pytest.mark.parametrize(
    "call", ["mount -t tmpfs x /mnt", "unshare -m true", "date -s 12:00", "reboot -f", "swapoff -a"]
)
def test_calls_that_are_refused(docker: Docker, call: str) -> None:
    result = docker("run", "--rm", "busybox", "sh", "-c", f"mkdir -p /mnt; {call}")
    assert result.code != 0 or "not permitted" in result.err


@pytest.mark.ours
def test_sockets_that_are_refused(docker: Docker) -> None:
    """AF_ALG and AF_VSOCK are closed by today's profile, ordinary families are open."""
    out = docker.ok("run", "--rm", *host_python(), "-c", FAMILIES).splitlines()
    assert out[:2] == ["38 1", "40 1"] and out[2:] == ["2 open", "10 open", "1 open"]


def test_a_seccomp_profile_of_ones_own(docker: Docker, tmp_path: Path) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    result = docker("run", "--rm", "--security-opt", f"seccomp={path}", "busybox", "mkdir", "/x")
    assert "Operation not permitted" in result.err


def test_a_seccomp_profile_that_is_none(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("{broken")
    assert docker.fails("run", "--rm", "--security-opt", f"seccomp={tmp_path}/bad", "busybox", "true")


def test_no_new_privileges(docker: Docker) -> None:
    assert status(docker)["NoNewPrivs"] == "0"
    assert status(docker, "--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


def test_an_unknown_security_option(docker: Docker) -> None:
    text = docker.fails("run", "--rm", "--security-opt", "magic=on", "busybox", "true", code=125)
    assert "magic" in text


def test_masked_paths(docker: Docker) -> None:
    script = (
        "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls -A /sys/firmware /proc/acpi 2>/dev/null"
    )
    out = docker("run", "--rm", "busybox", "sh", "-c", script).out.split()
    assert out[0] == "0" and all(word.endswith(":") for word in out[1:])


@pytest.mark.parametrize("path", ["/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"])
def test_read_only_paths(docker: Docker, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")
    result = docker("run", "--rm", "busybox", "sh", "-c", f"echo 0 > {path}")
    assert result.code != 0 and "Read-only file system" in result.err


def test_sys_and_cgroups_are_read_only(docker: Docker) -> None:
    mounts = [line.split() for line in docker.ok("run", "--rm", "busybox", "cat", "/proc/mounts").splitlines()]
    options = {point: set(words.split(",")) for _, point, _, words, *_ in mounts}
    assert "ro" in options["/sys"]
    assert all("ro" in words.split(",") for _, _, kind, words, *_ in mounts if kind.startswith("cgroup"))
    for point in ("/proc", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev", "noexec"} <= options[point]


def test_only_the_usual_devices(docker: Docker) -> None:
    out = set(docker.ok("run", "--rm", "busybox", "ls", "/dev").split())
    usual = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero console"
    assert out <= set(usual.split()) and {"null", "zero", "urandom", "tty"} <= out


def test_devices_cannot_be_made_and_read(docker: Docker) -> None:
    result = docker("run", "--rm", "busybox", "sh", "-c", "mknod /tmp/mem c 1 1 && cat /tmp/mem")
    assert "Operation not permitted" in result.err


@pytest.mark.ours
def test_privileged_sees_the_devices(docker: Docker) -> None:
    script = "ls /dev; mkdir -p /mnt; mount -t tmpfs x /mnt && echo mounted"
    out = docker.ok("run", "--rm", "--privileged", "busybox", "sh", "-c", script)
    assert "kmsg" in out and "mounted" in out
    mounts = docker.ok("run", "--rm", "--privileged", "busybox", "grep", " /sys ", "/proc/mounts")
    assert mounts.split()[3].startswith("rw")


def test_no_descriptor_leaks(docker: Docker) -> None:
    """0, 1, 2, and the one that ls itself opens."""
    assert docker.ok("run", "--rm", "busybox", "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]
    assert docker.ok("run", "--rm", "-t", "busybox", "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]


def test_no_descriptor_leaks_into_an_exec(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    assert docker.ok("exec", name, "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]


def test_nothing_of_the_daemons_signals_is_inherited(docker: Docker) -> None:
    told = status(docker)
    assert (told["SigBlk"], told["SigIgn"], told["Umask"]) == ("0" * 16, "0" * 16, "0022")


def test_limits_are_the_daemons(docker: Docker) -> None:
    out = docker.ok("run", "--rm", "busybox", "grep", "-E", "open files|core file", "/proc/self/limits")
    assert "unlimited" in out or re.search(r"open files +\d{4,}", out)


@pytest.mark.ours
@pytest.mark.parametrize("where", ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/fd/8"])
def test_working_directory_through_a_descriptor_is_refused(docker: Docker, name: str, where: str) -> None:
    assert docker("run", "--rm", "-w", where, "busybox", "ls").code != 0
    docker.ok("run", "-d", "--name", name, "busybox", "sleep", "60")
    assert docker("exec", "-w", where, name, "ls").code != 0


def test_the_host_is_not_seen(docker: Docker, engine: Engine) -> None:
    out = docker.ok("run", "--rm", "busybox", "cat", "/proc/self/mountinfo")
    assert all(str(engine.data) not in line.split(" ")[4] for line in out.splitlines())
    assert [each for each in docker.ok("run", "--rm", "busybox", "ls", "/proc").split() if each.isdigit()] == ["1"]


@pytest.mark.ours
def test_roots_are_closed_to_others(engine: Engine) -> None:
    closed = [
        engine.data,
        engine.exec,
        engine.data / "containers",
        engine.data / "containerd",
        engine.exec / "containerd",
    ]
    for path in closed:
        assert path.stat().st_mode & 0o007 in (0, 1), path
        assert path.stat().st_mode & 0o006 == 0, path


@pytest.mark.ours
def test_no_abstract_sockets(docker: Docker, engine: Engine, name: str) -> None:
    docker.ok("run", "-d", "--name", name, "-p", "18999:80", "busybox", "sleep", "60")
    out = docker.ok("run", "--rm", "--network", "host", "busybox", "cat", "/proc/net/unix")
    assert not [line for line in out.splitlines() if "@" in line]


def test_users_too_large_are_refused(docker: Docker) -> None:
    for user in ("4294967296", "-1", "0:4294967296"):
        assert docker("run", "--rm", f"--user={user}", "busybox", "id").code != 0, user


def test_the_primary_group_is_among_the_groups(docker: Docker) -> None:
    assert status(docker, "-u", "1000:1000")["Groups"] == "1000"
    assert status(docker)["Groups"] in ("0", "0 10")


def test_apparmor_where_the_kernel_has_it(docker: Docker, name: str) -> None:
    docker.ok("create", "--name", name, "busybox")
    has = Path("/sys/kernel/security/apparmor/profiles").exists()
    assert docker.inspect(name, "{{.AppArmorProfile}}") in (
        ("docker-default",) if has else ("", "docker-default", "unconfined")
    )

"""The daemon's own life: alone, locked, signalled, and after being killed at any moment."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness.images import oci_layout, pack
from tests.harness.wait import until
from tests.integration.daemon import PROGRAM, START, Daemon

BUSYBOX = "docker.io/library/busybox:latest"


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


class TestProcess:
    def test_name_and_command_line_can_be_read(self, ours: Daemon) -> None:
        assert comm(ours.pid) == "docker-containe"
        words = Path(f"/proc/{ours.pid}/cmdline").read_bytes().decode().split("\0")
        assert words[:3] == ["docker-containerd", "--root", str(ours.root)]
        assert words[-1] == ""

    def test_what_it_makes_is_for_root_alone(self, ours: Daemon) -> None:
        for path in (ours.root, ours.state):
            assert path.stat().st_mode & 0o077 == 0
        assert ours.address.stat().st_mode & 0o077 == 0

    def test_version_needs_no_daemon(self) -> None:
        done = subprocess.run([PROGRAM, "--version"], capture_output=True, check=True)
        assert done.stdout.startswith(b"docker-containerd ")

    def test_term_ends_it_in_order(self, ours: Daemon) -> None:
        assert ours.stop() == 0
        assert not ours.address.exists()

    def test_term_does_not_wait_for_subscribers(self, ours: Daemon) -> None:
        with subprocess.Popen([*ours.client(), "events"], stdout=subprocess.DEVNULL) as watcher:
            until(lambda: ours.ok("namespaces", "ls") and watcher.poll() is None, "the watcher runs")
            assert ours.stop() == 0
            assert watcher.wait(START) is not None

    def test_usr1_dumps_all_stacks_and_it_goes_on(self, ours: Daemon) -> None:
        dump = ours.state / "docker-containerd.stacks.log"
        os.kill(ours.pid, signal.SIGUSR1)
        until(lambda: dump.exists() and "most recent call first" in dump.read_text(), "threads are dumped")
        until(lambda: "Task Task-" in dump.read_text(), "tasks are dumped")
        assert ours.ok("version")

    def test_it_survives_the_death_of_its_parent(self, ours: Daemon) -> None:
        ours.stop()
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        flags = f"--root {ours.root} --state {ours.state} --address {ours.address} --ready-fd {writing}"
        command = f"{PROGRAM} {flags} >/dev/null 2>&1 & echo $!"
        shell = subprocess.run(["sh", "-c", command], capture_output=True, close_fds=False)
        os.close(writing)
        assert os.read(reading, 100) == b"ready\n"
        os.close(reading)
        pid = int(shell.stdout)
        assert ours.ok("version")
        os.kill(pid, signal.SIGTERM)
        until(lambda: not ours.address.exists(), "it ends")

    def test_closed_standard_error_does_not_hurt(self, ours: Daemon) -> None:
        ours.stop()
        reading, writing = os.pipe()
        command = [PROGRAM, "--root", ours.root, "--state", ours.state, "--address", ours.address, "-l", "debug"]
        with subprocess.Popen(command, stderr=writing) as process:
            os.close(writing)
            os.close(reading)
            until(lambda: ours.ctr("version").returncode == 0, "it serves")
            process.terminate()
            assert process.wait(START) == 0


class TestRefusals:
    def test_second_daemon_on_one_root_is_told_who_has_it(self, ours: Daemon) -> None:
        command = [PROGRAM, "--root", ours.root, "--state", ours.home / "s2", "--address", ours.home / "c2.sock"]
        done = subprocess.run(command, capture_output=True, timeout=START)
        assert done.returncode == 1
        assert f"in use by another docker-containerd (pid {ours.pid})".encode() in done.stderr

    def test_served_address_is_not_taken(self, ours: Daemon) -> None:
        command = [PROGRAM, "--root", ours.home / "r2", "--state", ours.home / "s2", "--address", ours.address]
        done = subprocess.run(command, capture_output=True, timeout=START)
        assert done.returncode == 1
        assert b"is served by another process" in done.stderr
        assert ours.ok("version")

    def test_address_that_is_a_file_is_left_alone(self, ours: Daemon) -> None:
        place = ours.home / "file"
        place.write_text("precious")
        command = [PROGRAM, "--root", ours.home / "r2", "--state", ours.home / "s2", "--address", place]
        done = subprocess.run(command, capture_output=True, timeout=START)
        assert done.returncode == 1
        assert b"no socket" in done.stderr
        assert place.read_text() == "precious"

    def test_long_address_is_refused(self, tmp_path: Path) -> None:
        done = subprocess.run([PROGRAM, "--address", tmp_path / ("x" * 108)], capture_output=True, timeout=START)
        assert done.returncode == 2
        assert b"107 bytes" in done.stderr

    def test_corrupt_metadata_is_named_and_kept(self, ours: Daemon) -> None:
        ours.stop()
        (ours.root / "meta.db").write_bytes(b"garbage" * 1000)
        said = ours.start()
        assert said.startswith("failed: ")
        assert "meta.db" in said
        assert (ours.root / "meta.db").read_bytes() == b"garbage" * 1000

    def test_lost_metadata_does_not_cost_the_blobs(self, ours: Daemon, archive: Path) -> None:
        ours.ok("images", "import", str(archive))
        ours.stop()
        for path in ours.root.glob("meta.db*"):
            path.unlink()
        assert "is gone" in ours.start()
        assert list((ours.root / "content/blobs/sha256").iterdir())


class TestRestart:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_everything_is_there_again(self, ours: Daemon, archive: Path, number: int) -> None:
        ours.ok("images", "import", str(archive))
        ours.ok("containers", "create", BUSYBOX, "c1")
        before = [ours.ok(*words) for words in LISTS]
        ours.restart(number)
        assert [ours.ok(*words) for words in LISTS] == before
        ours.ok("containers", "rm", "c1")

    def test_identity_stays(self, ours: Daemon) -> None:
        before = ours.ok("version")
        ours.restart()
        assert ours.ok("version") == before

    def test_killed_at_any_moment_of_an_import(self, ours: Daemon, tmp_path: Path) -> None:
        """Twelve moments of an image's import, unpacking and removal: the store opens and holds only what is whole."""
        for round_ in range(12):
            name = f"busybox:{round_}"
            path = tmp_path / f"{round_}.tar"
            extra = pack({f"data/{n}": os.urandom(20_000) for n in range(40)})
            path.write_bytes(oci_layout(name, {"Cmd": ["sh"]}, extra))
            loop = 'while :; do "$@" images import "$FILE"; "$@" images rm --sync "$NAME"; done'
            with subprocess.Popen(
                ["sh", "-c", loop, "sh", *ours.client()], env={"FILE": str(path), "NAME": f"docker.io/library/{name}"},
                start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as client:
                select.select([], [], [], 0.02 + round_ * 0.03)
                ours.stop(signal.SIGKILL)
                os.killpg(client.pid, signal.SIGKILL)
            assert ours.start() == "ready"
            whole(ours)
        for path in tmp_path.glob("*.tar"):
            ours.ok("images", "import", str(path))
        whole(ours)

    def test_leftovers_of_snapshots_are_swept(self, ours: Daemon) -> None:
        ours.stop(signal.SIGKILL)
        for driver in ("overlayfs", "native"):
            (ours.root / driver / "4711/fs").mkdir(parents=True)
        ours.start()
        for driver in ("overlayfs", "native"):
            until(lambda at=ours.root / driver: [it.name for it in at.iterdir()] == ["trash"], f"{driver} is swept")


LISTS = (
    ["namespaces", "ls", "-q"],
    ["images", "ls", "-q"],
    ["content", "ls", "-q"],
    ["snapshots", "ls"],
    ["containers", "ls"],
)


def whole(daemon: Daemon) -> None:
    """Every blob is what its name says, every snapshot has its directory, and there are no others."""
    listed = set(daemon.ok("content", "ls", "-q").split())
    for path in (daemon.root / "content/blobs/sha256").iterdir():
        done = subprocess.run(["sha256sum", path], capture_output=True, check=True)
        assert done.stdout.decode().split()[0] == path.name
        assert f"sha256:{path.name}" in listed
    assert len(list((daemon.root / "content/blobs/sha256").iterdir())) == len(listed)
    directories = [path for path in (daemon.root / "overlayfs").iterdir() if path.name != "trash"]
    assert len(directories) == len(daemon.rows("snapshots", "ls"))
    for name in daemon.ok("images", "ls", "-q").split():
        assert "complete" in daemon.ok("images", "check", f"name=={name}")


def test_health_and_reflection_answer(ours: Daemon) -> None:
    script = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
channel = grpc.insecure_channel(f"unix://{sys.argv[1]}")
check = health_pb2_grpc.HealthStub(channel).Check
for name in ("", "containerd.services.tasks.v1.Tasks"):
    assert check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
database = ProtoReflectionDescriptorDatabase(channel)
services = database.get_services()
assert "containerd.services.content.v1.Content" in services, services
assert database.FindFileContainingSymbol("containerd.services.content.v1.Content").name
"""
    subprocess.run([os.sys.executable, "-c", script, ours.address], check=True, timeout=START)

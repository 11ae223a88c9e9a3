import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.errdefs import AlreadyExists, FailedPrecondition
from services.dockerd import lock

NAMED = "import sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", NAMED, "dockerd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_second_daemon_is_refused_by_pid(tmp_path: Path) -> None:
    held = lock.hold(tmp_path / "data")
    with pytest.raises(AlreadyExists, match=f"data root {tmp_path}/data is in use by dockerd with PID {os.getpid()}"):
        lock.hold(tmp_path / "data")
    os.close(held)
    os.close(lock.hold(tmp_path / "data"))


def test_a_shared_exec_root_is_refused_by_its_flag(tmp_path: Path) -> None:
    held = lock.hold(tmp_path, 0o700, "--exec-root")
    with pytest.raises(AlreadyExists, match=f"exec root {tmp_path} is in use .* choose another --exec-root"):
        lock.hold(tmp_path, 0o700, "--exec-root")
    os.close(held)


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match=f"--data-root {tmp_path}/file/data: Not a directory"):
        lock.hold(tmp_path / "file" / "data")


def test_data_root_is_not_for_everybody(tmp_path: Path) -> None:
    os.close(lock.hold(tmp_path / "data"))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o710


def test_pid_file_is_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "docker.pid"
    lock.write_pid(path)
    assert path.read_text() == str(os.getpid())
    lock.remove_pid(path)
    assert not path.exists()


def test_living_daemon_keeps_its_pid_file(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "docker.pid"
    path.write_text(str(other.pid))
    with pytest.raises(AlreadyExists, match=f"process with PID {other.pid} is still running"):
        lock.write_pid(path)
    lock.remove_pid(path)
    assert path.exists()


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_stale_pid_file_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "docker.pid"
    path.write_text(content)
    lock.write_pid(path)
    assert path.read_text() == str(os.getpid())


def test_pid_of_another_program_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "docker.pid"
    path.write_text(str(os.getppid()))
    lock.write_pid(path)


def test_daemon_not_waited_for_is_stale(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "docker.pid"
    path.write_text(str(other.pid))
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert lock.living(path) == 0


def test_pid_used_again_since_is_stale(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "docker.pid"
    path.write_text(str(other.pid))
    assert lock.living(path) == other.pid
    before = time.time() - 3600
    os.utime(path, (before, before))
    assert lock.living(path) == 0


def test_start_of_a_process_is_known() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        at = lock.started(Path(f"/proc/{process.pid}/stat").read_text())
        assert abs(at - time.time()) < 60


def test_a_pid_file_that_cannot_be_is_said_with_its_flag() -> None:
    with pytest.raises(FailedPrecondition, match="failed to start daemon: --pidfile /dev/null/pid: "):
        lock.write_pid(Path("/dev/null/pid"))

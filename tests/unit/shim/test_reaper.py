import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shim.loop import Future, Loop
from services.shim.reaper import Exit, Reaper
from tests.unit.shim.conftest import Run


def output(run: Run, reaper: Reaper, *argv: str) -> tuple[int, str]:
    null, said = os.open(os.devnull, os.O_RDWR), os.memfd_create("said")
    child = reaper.spawn(list(argv), (null, said, said))
    status = run(child_exit(child.exit)).status
    text = os.pread(said, 1 << 20, 0).decode()
    os.close(null)
    os.close(said)
    return status, text


@pytest.fixture
def altered_signals() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


async def child_exit(future: Future[Exit]) -> Exit:
    return await future


def test_status_is_the_shells(run: Run, reaper: Reaper) -> None:
    assert output(run, reaper, "sh", "-c", "exit 7")[0] == 7
    assert output(run, reaper, "sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM


def test_missing_program_raises(reaper: Reaper) -> None:
    with pytest.raises(FileNotFoundError):
        reaper.spawn(["no-such-program"], (0, 1, 2))


def test_child_inherits_nothing_by_accident(run: Run, reaper: Reaper) -> None:
    leak = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leak, True)
    _, listing = output(run, reaper, "ls", "-1", "/proc/self/fd")
    assert sorted(listing.split()) == ["0", "1", "2", "3"]  # 3 is ls's own, of the directory
    os.close(leak)


def test_child_has_default_signals(altered_signals: None, run: Run, reaper: Reaper) -> None:
    _, status = output(run, reaper, "grep", "-E", "Sig(Blk|Ign)|Umask", "/proc/self/status")
    assert status.split() == ["Umask:", "0022", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_descriptors_may_cross(run: Run, reaper: Reaper) -> None:
    files = [os.memfd_create(name) for name in ("a", "b", "c", "d")]
    words, placed = ["sh", "-c", "echo 0 >&0; echo 3 >&3"], (files[3], files[1], files[2], files[0])
    child = reaper.fork_exec(words, placed, os.environ, lambda: None, files[2])
    run(child_exit(child.exit))
    assert [os.pread(fd, 10, 0) for fd in files] == [b"3\n", b"", b"", b"0\n"]
    for fd in files:
        os.close(fd)


def test_orphan_becomes_our_child(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with reaper.keep():
        # It outlives its parent, which would take its exit itself.
        output(run, reaper, "sh", "-c", f"sh -c 'read -r _; exit 9' <{gate} & echo $! > {tmp_path}/pid")
        pid = int((tmp_path / "pid").read_text())
        gate.write_text("go\n")
        assert run(child_exit(reaper.expect(pid))).status == 9


def test_early_exit_is_kept(loop: Loop, run: Run, reaper: Reaper) -> None:
    with reaper.keep():
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        reaper.reap()
        assert run(child_exit(reaper.expect(pid))).status == 3


def test_exit_nobody_asked_for_is_forgotten(run: Run, reaper: Reaper) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    reaper.reap()
    assert not reaper.expect(pid).done


def test_signal_spares_strangers(run: Run, reaper: Reaper) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    child = reaper.spawn(["sleep", "60"], (null, null, null))
    os.close(null)
    assert reaper.signal(child.pid, signal.SIGKILL)
    assert run(child_exit(child.exit)).status == 137
    assert not reaper.signal(child.pid, signal.SIGKILL)
    assert not reaper.signal(os.getpid(), 0)


def test_forked_body_says_how_it_ended(run: Run, reaper: Reaper) -> None:
    assert run(child_exit(reaper.fork(lambda: None).exit)).status == 0
    assert run(child_exit(reaper.fork(lambda: os._exit(5)).exit)).status == 5


def test_preparation_runs_before_the_program(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    null, said = os.open(os.devnull, os.O_RDWR), os.memfd_create("said")
    child = reaper.fork_exec(
        ["cat", str(tmp_path / "made")], (null, said, said), os.environ, lambda: make(tmp_path / "made"), said
    )
    assert run(child_exit(child.exit)).status == 0
    assert os.pread(said, 100, 0) == b"prepared"
    os.close(null)
    os.close(said)


def make(path: Path) -> None:
    path.write_text("prepared")


def test_failed_preparation_is_reported(run: Run, reaper: Reaper, tmp_path: Path) -> None:
    null, said = os.open(os.devnull, os.O_RDWR), os.memfd_create("said")
    child = reaper.fork_exec(["true"], (null, said, said), os.environ, lambda: make(tmp_path / "no" / "way"), said)
    assert run(child_exit(child.exit)).status == 127
    assert b"No such file" in os.pread(said, 1000, 0)
    os.close(null)
    os.close(said)

"""Sealed memory, in processes of one thread: what forks share again, and that nothing of theirs is lost."""

import subprocess
import sys

import pytest

PREAMBLE = """
import fcntl, gc, json, os, signal, socket, sys, time
from pathlib import Path
from protos import sealed

ballast = [[number, str(number)] for number in range(20000)]  # a dict would number its changes
gc.collect()
gc.freeze()
memory = sealed.seal()

def own(pid="self"):
    # bytes of sealed memory that are a copy of its own
    total, sealed = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name:
            sealed = "memfd:sealed" in line
        elif sealed and name == "Anonymous":
            total += int(value.split()[0]) << 10
    return total

def work():
    return [json.dumps(each) for each in ballast]

def in_fork(body):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(body()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = b""
    while more := os.read(reader, 65536):
        said += more
    assert os.waitpid(pid, 0)[1] == 0, "the fork died"
    return json.loads(said)
"""


def run(script: str) -> None:
    words = [sys.executable, "-c", PREAMBLE + script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_touched_pages_are_shared_again() -> None:
    run("""
def body():
    for each in ballast:
        hash(each[1])  # counts its references
    before = own()
    sealed.release(memory)
    return before, own()
before, after = in_fork(body)
assert after < before / 2, (before, after)
""")


def test_what_forks_have_in_common_is_shared() -> None:
    run("""
def body():
    for each in ballast:
        each[0] = None
    before = own()
    sealed.release(memory)
    return before, own()
in_fork(body)
assert fcntl.fcntl(memory.resting[0], fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
before, after = in_fork(body)
assert after < before / 2, (before, after)
""")


def test_memory_reads_the_same() -> None:
    run("""
def body():
    mine = [os.urandom(100).hex() for _ in range(5000)]
    for each in ballast[::7]:
        each[1] = each[1] * 3
    before = work()
    for _ in range(20):
        sealed.release(memory)
        assert work() == before
        mine.append("more")
    assert len(mine) == 5020 and all(len(each) == 200 for each in mine[:5000])
    ballast.clear()
    gc.unfreeze()
    gc.collect()
    sealed.release(memory)
    return [len(mine), [number for number in range(10)]]
for _ in range(3):
    assert in_fork(body) == [5020, list(range(10))]
""")


@pytest.mark.parametrize("failure", ["raise OSError", "os._exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_child_may_fail(failure: str) -> None:
    run(f"""
def fail(*_):
    {failure}
def body():
    sealed._hand_over = fail
    before = work()
    descriptors = os.listdir("/proc/self/fd")
    sealed.release(memory)
    assert os.listdir("/proc/self/fd") == descriptors
    return work() == before
sys.stderr = open(os.devnull, "w")
assert in_fork(body)
""")


def test_child_may_hang() -> None:
    run("""
def body():
    sealed._PATIENCE = 1
    sealed._hand_over = lambda *_: signal.pause()
    before = work()
    sealed.release(memory)
    return work() == before
assert in_fork(body)
""")


def test_signals_wait_for_it() -> None:
    run("""
def body():
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append("usr1"))
    signal.signal(signal.SIGCHLD, lambda *_: heard.append("chld"))
    compare = sealed._hand_over
    def disturb(*arguments):
        os.kill(os.getppid(), signal.SIGUSR1)
        compare(*arguments)
    sealed._hand_over = disturb
    sealed.release(memory)
    return sorted(heard)
assert in_fork(body) == ["usr1"], "the child's end is none of ours"
""")


@pytest.mark.parametrize("event", ["os.write(writer, b'x')", "os.kill(os.getppid(), signal.SIGUSR1)", "seconds = 0.01"])
def test_rest_ends_with(event: str) -> None:
    run(f"""
def body():
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append("usr1"))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    reader, writer = os.pipe()
    seconds = None
    compare = sealed._hand_over
    def disturb(*arguments):
        {event}
        compare(*arguments)
    sealed._hand_over = disturb
    {event if "seconds" in event else "pass"}
    before = work()
    sealed.release(memory, reader, seconds)
    assert work() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {{signal.SIGUSR2}}
    return heard
assert in_fork(body) == {["usr1"] if "kill" in event else []}
""")


def test_rest_leaves_hardly_a_page() -> None:
    run("""
def body():
    reader, writer = os.pipe()
    resting = os.getpid()
    watcher = os.fork()
    if watcher == 0:
        until, least = time.monotonic() + 20, 1 << 30
        while least > 100000 and time.monotonic() < until:
            time.sleep(0.01)
            least = min(least, own(resting))
        os.write(writer, b"%d" % least)
        os._exit(0)
    sealed.release(memory, reader)
    return int(os.read(reader, 16))
assert in_fork(body) <= 100000
""")


def test_file_cannot_be_written() -> None:
    run("""
def body():
    try:
        os.pwrite(memory.warm, b"x", 0)
    except PermissionError:
        return "refused"
assert in_fork(body) == "refused"
""")

"""Lines a second by log driver, until the sink has the last of them: metrics.py measures json-file."""

import contextlib
import select
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.metrics import Metric, client, containers
from tests.harness.engine import Engine
from tests.harness.sinks import Journal, listener

LINES = 100_000
COMMAND = ("sh", "-c", f"yes 'a line of an ordinary length, as programs write them' | head -n {LINES}")
PORT = 5140


class Drain:
    """Takes all that comes to a listener, and counts how often `mark` is in it."""

    def __init__(self, sock: socket.socket, mark: bytes) -> None:
        self._sock, self._mark = sock, mark
        self.complete = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        count, rest = 0, b""
        connection = self._accepted()
        if connection is None:
            return
        with connection:
            while count < LINES and (data := connection.recv(1 << 18)):
                data = rest + data
                count += data.count(self._mark)
                rest = data[-(len(self._mark) - 1) :] if len(self._mark) > 1 else b""
        if count >= LINES:
            self.complete.set()

    def _accepted(self) -> socket.socket | None:
        ready, _, _ = select.select([self._sock], [], [], 60)
        return self._sock.accept()[0] if ready else None

    def close(self) -> None:
        self._thread.join()
        self._sock.close()


@contextlib.contextmanager
def draining(engine: Engine, mark: bytes) -> Iterator[Drain]:
    drain = Drain(listener(engine.network, PORT), mark)
    try:
        yield drain
    finally:
        drain.close()


def run(engine: Engine, driver: str, options: dict[str, str], wait: Callable[[], object]) -> float:
    config = {"LogConfig": {"Type": driver, "Config": options}}
    with containers(engine, 1, False, *COMMAND, HostConfig=config) as (one,), client(engine) as api:
        begin = time.perf_counter()
        api.expect(204, "POST", f"/containers/{one}/start")
        api.expect(200, "POST", f"/containers/{one}/wait")
        wait()
        return LINES / (time.perf_counter() - begin)


def to_file(engine: Engine) -> float:
    return run(engine, "local", {}, lambda: None)


def to_sink(engine: Engine, driver: str, mark: bytes, **options: str) -> float:
    given = {f"{driver}-address": f"tcp://127.0.0.1:{PORT}"} | options
    with draining(engine, mark) as drain:
        def last() -> None:
            assert drain.complete.wait(60), f"{driver}: not all lines have arrived"

        return run(engine, driver, given, last)


def to_journal(engine: Engine) -> float:
    """Until the journal has taken all."""
    sync = ["nsenter", f"--mount=/proc/{engine.within}/ns/mnt", "journalctl", "--sync"]
    return run(engine, "journald", {}, lambda: subprocess.run(sync, check=True))


@contextlib.contextmanager
def journal() -> Iterator[int]:
    """A process whose mount namespace has a journal of its own."""
    with tempfile.TemporaryDirectory() as directory:
        made = Journal(Path(directory))
        try:
            yield made.start().pid
        finally:
            made.close()


JOURNALS = (
    Metric("log_journald", "log lines written: journald", "/s", to_journal, 1.0, larger=True, rounds=3),
)
TABLE = (
    Metric("log_local", "log lines written: local", "/s", to_file, 1.0, larger=True, rounds=3),
    Metric("log_syslog", "log lines written: syslog by TCP", "/s", partial(to_sink, driver="syslog", mark=b"\n"), 1.0,
           larger=True, rounds=3),
    Metric("log_gelf", "log lines written: gelf by TCP", "/s", partial(to_sink, driver="gelf", mark=b"\0"), 1.0,
           larger=True, rounds=3),
    Metric("log_fluentd", "log lines written: fluentd", "/s",
           partial(to_sink, driver="fluentd", mark=b"container_id"), 1.0, larger=True, rounds=3),
)

"""What is measured: each metric takes one figure of one engine. Seconds and bytes are better small, rates large.

A metric is a function of an Engine with busybox loaded, leaving it as it was. `TABLE` names them in order with the
ratio to reach (ours : Docker's).
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client
from tests.harness import leftovers
from tests.harness.engine import Engine

Measure = Callable[[Engine], float]
SLEEP = ("sleep", "3600")


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    what: str
    unit: str
    measure: Measure
    target: float
    """The ratio of our figure to Docker's that we want."""
    larger: bool = False
    rounds: int = 5

    def reached(self, ratio: float) -> bool:
        return ratio >= self.target if self.larger else ratio <= self.target


@contextmanager
def client(engine: Engine) -> Iterator[Client]:
    one = Client(str(engine.socket))
    try:
        yield one
    finally:
        one.close()


@contextmanager
def containers(engine: Engine, count: int, start: bool, *command: str, **more: object) -> Iterator[list[str]]:
    with client(engine) as api:
        made = [api.create(*command, **more) for _ in range(count)]
        try:
            if start:
                for each in made:
                    api.expect(204, "POST", f"/containers/{each}/start")
            yield made
        finally:
            for each in made:
                api.remove(each)


def run_rm(engine: Engine) -> float:
    begin = time.perf_counter()
    engine.docker.ok("run", "--rm", "busybox", "true")
    return time.perf_counter() - begin


def run_20(engine: Engine) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: engine.docker.ok("run", "--rm", "busybox", "true", timeout=120), range(20)))
    return time.perf_counter() - begin


def start(engine: Engine) -> float:
    with containers(engine, 1, False, *SLEEP) as (one,), client(engine) as api:
        begin = time.perf_counter()
        api.expect(204, "POST", f"/containers/{one}/start")
        return time.perf_counter() - begin


def kill_wait(engine: Engine) -> float:
    with containers(engine, 1, True, *SLEEP) as (one,), client(engine) as api:
        begin = time.perf_counter()
        api.expect(204, "POST", f"/containers/{one}/kill")
        api.expect(200, "POST", f"/containers/{one}/wait")
        return time.perf_counter() - begin


def exec_api(engine: Engine) -> float:
    with containers(engine, 1, True, *SLEEP) as (one,), client(engine) as api:
        begin = time.perf_counter()
        exec_id = execute(engine, api, one)
        elapsed = time.perf_counter() - begin
        assert api.expect(200, "GET", f"/exec/{exec_id}/json")["ExitCode"] == 0
        return elapsed


def execute(engine: Engine, api: Client, container: str) -> str:
    """Create an exec, start it attached, and see its end."""
    wanted = {"Cmd": ["true"], "AttachStdout": True}
    exec_id = str(api.expect(201, "POST", f"/containers/{container}/exec", wanted)["Id"])
    with client(engine) as stream:
        stream._sock.sendall(
            f"POST /v1.41/exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}".encode()
        )
        while stream._sock.recv(65536):
            pass
    return exec_id


def runc_exec(engine: Engine) -> float:
    """The bare `runc exec` on the same container: what no engine can save."""
    with containers(engine, 1, True, *SLEEP) as (one,):
        root = next(path.parent.parent for path in engine.exec.rglob(f"{one}/state.json"))
        begin = time.perf_counter()
        subprocess.run(["runc", "--root", root, "exec", one, "true"], check=True, stdin=subprocess.DEVNULL)
        return time.perf_counter() - begin


def publish(engine: Engine) -> float:
    """`docker run -d -p` until a first byte comes back through the port."""
    begin = time.perf_counter()
    one = engine.docker.ok("run", "-d", "-p", "8099:80", "busybox", "sh", "-c", "echo x >/i; httpd -f -h /")
    try:
        while time.perf_counter() - begin < 20:
            try:
                with engine.network.connect("127.0.0.1", 8099, 2) as sock:
                    sock.sendall(b"GET /i HTTP/1.0\r\n\r\n")
                    if sock.recv(1):
                        return time.perf_counter() - begin
            except OSError:
                continue
        raise AssertionError("no reply through the port in 20 s")
    finally:
        engine.docker.ok("rm", "-f", one)


def _list(api: Client, times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        status, body = api("GET", "/containers/json?all=1")
        assert status == 200 and body
    return (time.perf_counter() - begin) / times


def list_200(engine: Engine) -> float:
    with containers(engine, 200, False, *SLEEP), client(engine) as api:
        return _list(api, 20)


def list_busy(engine: Engine) -> float:
    """The list of 200 while 20 containers start."""
    with containers(engine, 180, False, *SLEEP), containers(engine, 20, False, *SLEEP) as started:
        with client(engine) as api, ThreadPoolExecutor(20) as pool:
            starting = [pool.submit(_start, engine, each) for each in started]
            figures = []
            while not all(each.done() for each in starting):
                figures.append(_list(api, 1))
            for each in starting:
                each.result()
        return sum(figures) / len(figures)


def _start(engine: Engine, container: str) -> None:
    with client(engine) as api:
        api.expect(204, "POST", f"/containers/{container}/start")


def ping(engine: Engine) -> float:
    with client(engine) as api:
        begin = time.perf_counter()
        for _ in range(3000):
            api("GET", "/_ping")
        return 3000 / (time.perf_counter() - begin)


def ready(engine: Engine) -> float:
    engine.stop()
    begin = time.perf_counter()
    engine.start()
    return time.perf_counter() - begin


def ready_100(engine: Engine) -> float:
    with client(engine) as api:
        made = [api.create(*SLEEP) for _ in range(100)]
    try:
        return ready(engine)
    finally:
        with client(engine) as api:
            for each in made:
                api.remove(each)


def reload(engine: Engine) -> float:
    """From SIGHUP until `info` shows another label."""
    file = engine.root / "daemon.json"
    if "--config-file" not in engine.flags:
        file.write_text("{}")
        engine.flags += ["--config-file", str(file)]
        engine.stop()
        engine.start()
    label = f"round={time.monotonic_ns()}"
    file.write_text(json.dumps({"labels": [label]}))
    with client(engine) as api:
        api.expect(200, "GET", "/info")  # everything is loaded
        begin = time.perf_counter()
        os.kill(engine.pid, signal.SIGHUP)
        while label not in (api.expect(200, "GET", "/info")["Labels"] or ()):
            pass
        return time.perf_counter() - begin


def memory(engine: Engine) -> float:
    """PSS of all the engine's processes with 20 idle containers, each with a published port."""
    with containers(
        engine, 20, True, *SLEEP, ExposedPorts={"80/tcp": {}}, HostConfig={"PortBindings": {"80/tcp": [{}]}}
    ):
        time.sleep(3)  # let both settle: this measures a steady state
        return float(sum(pss(pid) for pid in leftovers.processes(engine.network.inode())))


def pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


LINES = 400_000


def log_write(engine: Engine) -> float:
    """Lines a second from a container that writes as fast as it can, until it has ended."""
    command = ("sh", "-c", f"yes 'a line of an ordinary length, as programs write them' | head -n {LINES}")
    with containers(engine, 1, False, *command) as (one,), client(engine) as api:
        begin = time.perf_counter()
        api.expect(204, "POST", f"/containers/{one}/start")
        api.expect(200, "POST", f"/containers/{one}/wait")
        return LINES / (time.perf_counter() - begin)


def log_read(engine: Engine) -> float:
    """Lines a second of `GET logs`."""
    command = ("sh", "-c", f"yes 'a line of an ordinary length, as programs write them' | head -n {LINES}")
    with containers(engine, 1, True, *command) as (one,), client(engine) as api:
        api.expect(200, "POST", f"/containers/{one}/wait")
        begin = time.perf_counter()
        status, body = api("GET", f"/containers/{one}/logs?stdout=1")
        elapsed = time.perf_counter() - begin
        assert status == 200 and body.count(b"\n") == LINES, (status, body.count(b"\n"))
        return LINES / elapsed


def info(engine: Engine) -> str:
    return str(json.loads(Client(str(engine.socket))("GET", "/version")[1])["Version"])


TABLE = (
    Metric("run_rm", "docker run --rm busybox true", "s", run_rm, 0.4, rounds=9),
    Metric("run_20", "20 times docker run --rm at once", "s", run_20, 0.45, rounds=3),
    Metric("start", "API start of an existing container", "s", start, 0.35, rounds=15),
    Metric("kill_wait", "API kill and wait", "s", kill_wait, 0.3, rounds=7),
    Metric("exec", "API exec: create, start, end", "s", exec_api, 0.85, rounds=15),
    Metric("runc_exec", "bare runc exec, no engine", "s", runc_exec, 1.2, rounds=5),
    Metric("publish", "run -d -p to the first reply", "s", publish, 0.5, rounds=5),
    Metric("list", "GET /containers/json, 200 containers", "s", list_200, 0.1, rounds=2),
    Metric("list_busy", "the same while 20 start", "s", list_busy, 0.1, rounds=2),
    Metric("ping", "GET /_ping, one connection", "/s", ping, 1.0, larger=True),
    Metric("ready", "daemon start to ready", "s", ready, 1.0),
    Metric("ready_100", "the same with 100 stopped containers", "s", ready_100, 1.0, rounds=3),
    Metric("reload", "SIGHUP until info shows it", "s", reload, 1.0),
    Metric("memory", "PSS, 20 idle containers with a port each", "B", memory, 0.9, rounds=2),
    Metric("log_write", "log lines written", "/s", log_write, 2.0, larger=True, rounds=3),
    Metric("log_read", "log lines read", "/s", log_read, 2.0, larger=True, rounds=3),
)

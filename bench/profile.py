"""Where the time of a start and of an exec goes, hop by hop: an engine of ours in debug mode tells it in its log.

`python -m bench.profile [--rounds 30]`. Times nest: what a hop costs is the difference to the next line of its kind.
Debug lines make all of it a little slower than it is.
"""

import argparse
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.client import Client
from bench.metrics import SLEEP, client, containers, execute
from tests.harness.engine import Engine

Times = dict[tuple[str, str], list[float]]
"""Milliseconds by hop and call."""

_LINE: Final = re.compile(r"msg=(called|served|shim called|runtime) (?:method|verb)=(\S+) ms=([0-9.]+)$")
_HOPS: Final = {
    "called": "dockerd calls", "served": "docker-containerd serves", "shim called": "docker-containerd calls",
    "answered": "the shim serves", "runtime": "the shim runs the runtime's",
}
_CALLS: Final = ("Tasks/Create", "Task/Create", "create", "Tasks/Exec", "Task/Exec", "Tasks/Start", "Task/Start",
                 "start", "exec")
"""On the way of a start or of an exec, in their order."""


def read(log: str) -> Times:
    times: Times = defaultdict(list)
    for line in log.splitlines():
        if found := _LINE.search(line):
            hop = _HOPS["answered" if found[1] == "served" and ".task.v3." in found[2] else found[1]]
            times[hop, found[2].rsplit(".", 1)[-1]].append(float(found[3]))
    hops = [*_HOPS.values()]
    known = [each for each in times if each[1] in _CALLS]
    return {each: times[each] for each in sorted(known, key=lambda it: (_CALLS.index(it[1]), hops.index(it[0])))}


def cpu(pid: int) -> float:
    """Milliseconds that all threads of a process have run."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e6


@contextmanager
def measured(engine: Engine, rounds: int, who: dict[str, int]) -> Iterator[list[float]]:
    """Print what the hops said meanwhile; the list takes the seconds of each round."""
    begin, before, figures = engine.log.stat().st_size, {pid: cpu(pid) for pid in who.values()}, list[float]()
    yield figures
    spent = {name: (cpu(pid) - before[pid]) / rounds for name, pid in who.items()}
    print(f"| the client's request | {statistics.median(figures) * 1000:.1f} | {min(figures) * 1000:.1f} |")
    for (hop, call), values in read(engine.log.read_text()[begin:]).items():
        print(f"| {hop} `{call}` | {statistics.median(values):.1f} | {min(values):.1f} |")
    print("| processor time | " + ", ".join(f"{name} {each:.1f}" for name, each in spent.items()) + " | |\n")


def start(engine: Engine, api: Client, rounds: int) -> None:
    with measured(engine, rounds, {"dockerd": engine.pid, "docker-containerd": engine.containerd()}) as figures:
        for _ in range(rounds):
            box = api.create(*SLEEP)
            figures.append(_seconds(partial(api.expect, 204, "POST", f"/containers/{box}/start")))
            api.remove(box)


def execs(engine: Engine, api: Client, rounds: int) -> None:
    with containers(engine, 1, True, *SLEEP) as (box,):
        execute(engine, api, box)
        shims = engine.pids("docker-containerd-shim")
        (shim,) = (pid for pid in shims if box in Path(f"/proc/{pid}/cmdline").read_text())
        who = {"dockerd": engine.pid, "docker-containerd": engine.containerd(), "shim": shim}
        with measured(engine, rounds, who) as figures:
            for _ in range(rounds):
                figures.append(_seconds(partial(execute, engine, api, box)))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with Engine("--debug", reference=False) as engine, client(engine) as api:
        engine.docker.ok("run", "--rm", "busybox", "true")
        for name, work in (("start", start), ("exec", execs)):
            print(f"| {name}, ms | median | least |\n|---|---|---|")
            work(engine, api, rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

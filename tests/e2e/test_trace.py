"""One `docker run`, followed through the processes by `grep` in the daemon's log."""

import json
import re
from collections.abc import Callable

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours
Fresh = Callable[..., Engine]
HOPS = {"api": "calling method=POST", "proxy": "docker-proxy started", "rpc": "Tasks/Start",
        "containerd.rpc": "Tasks/Start", "shim.rpc": "Task/Start", "shim.runtime": "verb=start"}


@pytest.mark.parametrize("style", ["text", "json"])
def test_run_can_be_followed(fresh: Fresh, style: str) -> None:
    engine = fresh("--debug", "--log-format", style, reference=False)
    container = engine.docker.ok("run", "-d", "-p", "17401:80", "busybox", "sleep", "600")[:12]
    engine.docker.fails("run", "--name", "failed", "busybox", "nonesuch", code=127)
    engine.docker.ok("rm", "-f", container)
    until(lambda: f"{container}" in last(engine, "shim.life", "ended"), "the shim has said its last word")
    until(lambda: last(engine, "shim.runtime", "runtime failed"), "the other one has told what failed")
    entries = [parse(line, style) for line in engine.log.read_text().splitlines()]
    ours = [entry for entry in entries if entry.get("container") == container]
    for module, text in HOPS.items():
        assert [entry for entry in ours if entry["module"] == module and text in said(entry)], module
    starting = next(e["request"] for e in ours if e["module"] == "api" and "/start" in said(e))
    assert set(HOPS) <= {entry["module"] for entry in ours if entry.get("request") == starting}
    assert {entry["msg"] for entry in ours if entry["module"] == "monitor"}, "its end is told, too"
    failed = [entry for entry in entries if "runtime failed" in entry["msg"]]
    assert failed and failed[0]["request"] and failed[0]["container"] != container
    engine.docker.ok("rm", "failed")
    assert engine.stop() == 0 and not engine.remains()


def said(entry: dict[str, str]) -> str:
    """As text has it, whatever the style."""
    return " ".join([entry["msg"], *(f"{key}={value}" for key, value in entry.items())])


def last(engine: Engine, module: str, text: str) -> str:
    return "".join(line for line in engine.log.read_text().splitlines() if module in line and text in line)


def parse(line: str, style: str) -> dict[str, str]:
    """Every line is an entry: nothing is spread over several."""
    if style == "json":
        entry: dict[str, str] = json.loads(line)
        assert not re.search(r" (method|pid|ms|verb|path|container|error)=", entry["msg"]), "each value has its field"
    else:
        found = re.fullmatch(r"((?:\w+=\S* )+?)msg=(.*)", line)
        assert found, line
        entry = dict(word.split("=", 1) for word in found[1].split()) | {"msg": found[2]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert entry["level"] in ("debug", "info", "warning", "error", "fatal") and entry["module"]
    return entry

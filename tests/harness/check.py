"""What `docker-containerd check` says of an engine's data root."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness.engine import Engine
from tests.harness.wait import until

PROGRAM = Path(sys.executable).parent / "docker-containerd"


def check(root: Path, *flags: str) -> dict[str, Any]:
    """The report; AssertionError where it could not be made, or its exit code is another than it says."""
    command = [str(PROGRAM), "check", "--root", str(root), "--json", *flags]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    assert bool(report["problems"]) == bool(done.returncode)
    return report


def consistent(engine: Engine) -> dict[str, Any]:
    """The report of a root where all agrees."""
    report = check(engine.data / "containerd", "--deep")
    assert not report["problems"], (report, engine.tail())
    return report


def settled(engine: Engine) -> dict[str, Any]:
    """The same once nothing waits for collection or deletion."""

    def clean() -> dict[str, Any] | None:
        report = consistent(engine)
        return None if report["garbage"] or report["trash"] or report["ingests"] else report

    return until(lambda: clean(), "all garbage is collected", 25)


def usage_agrees(engine: Engine) -> None:
    """The disk holds what `docker system df` says, within 1 %; without containers, whose layers it counts by itself."""
    held = sum(settled(engine)["file_bytes"].values())
    said = engine.api("GET", "/system/df").json["LayersSize"]
    assert abs(held - said) <= 0.01 * said, (held, said)

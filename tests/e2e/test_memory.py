"""What an idle container and a published port cost: no figure of time, but pages that are a process's own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = pytest.mark.ours

MEGABYTE = 1 << 20
NEVER_IN_A_SHIM = {
    "asyncio", "concurrent.futures", "grpc", "http", "multiprocessing", "pydantic", "pyroute2", "sqlite3", "ssl",
    "unittest", "uvicorn", "zipfile",
}


def own(pid: int) -> int:
    """Bytes of writable memory that a process shares with none."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty:"))


def find(container: str, comm: str) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if container in text and Path(text.partition("\0")[0]).name == comm:
            return int(path.parent.name)
    raise AssertionError(f"{container} has no {comm}")


def test_idle_shims_and_proxies_share_their_memory(docker: Docker, engine: Engine, name: str) -> None:
    made = [docker.ok("run", "-d", "-p", "80", "--name", f"{name}-{number}", "busybox", "sleep", "600")
            for number in range(3)]
    try:
        for one in made[1:]:  # they share with the first; unshared they have 5.5 and 1.0 MB
            shim, proxy = find(one, "docker-containerd-shim"), find(one, "docker-proxy")
            until(lambda shim=shim: own(shim) < 3 * MEGABYTE, "a shim has less than 3 MB of its own")  # type: ignore[misc]
            until(lambda proxy=proxy: own(proxy) < 0.9 * MEGABYTE, "a proxy has less than 0.9 MB")  # type: ignore[misc]
            assert docker.ok("exec", one, "echo", "awake") == "awake"
    finally:
        docker.ok("rm", "-f", *made)


@pytest.mark.parametrize("module", ["services.shim.zygote", "services.proxy.zygote"])
def test_zygote_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not NEVER_IN_A_SHIM & set(done.stdout.split())

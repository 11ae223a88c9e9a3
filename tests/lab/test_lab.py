"""What this machine's kernel cannot show, on Debian's under qemu: the tests of inside/.

`make test-lab` runs them all, `make test` only test_engine.py: a boot, an engine, a container.
"""

import sys
from pathlib import Path

import pytest

from tests.lab.kernel import Kernel
from tests.lab.machine import Machine

INSIDE = Path(__file__).parent / "inside"
FILES = sorted(path.name for path in INSIDE.glob("test_*.py") if path.name != "test_engine.py")


def pytest_in(machine: Machine, *words: str, timeout: float = 900) -> None:
    """Runs tests in there; the output is shown where they fail."""
    done = machine.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, timeout=timeout)
    assert done.code == 0, str(done)


def test_commands_come_back_with_code_and_output(lab: Machine) -> None:
    assert lab.release == lab.kernel.version
    assert lab.run("sh", "-c", "echo out; echo err >&2; exit 7").code == 7
    assert lab.run("sh", "-c", "echo out; echo err >&2").output == "out\nerr\n"
    late = lab.run("sh", "-c", "echo begun; sleep 1000", timeout=5)
    assert (late.code, late.output) == (None, "begun\n")
    assert lab.run("pgrep", "sleep").code == 1


def test_what_it_writes_is_not_written_here(lab: Machine, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("kept")
    assert lab.run("sh", "-c", f"cat {file}; echo lost >{file}; cat {file}").output == "keptlost\n"
    assert file.read_text() == "kept"


@pytest.mark.limit(400)
def test_engine_in_short(lab: Machine) -> None:
    pytest_in(lab, str(INSIDE / "test_engine.py"), timeout=350)


@pytest.mark.thorough
@pytest.mark.limit(1000)
@pytest.mark.parametrize("file", FILES)
def test_engine(lab: Machine, file: str) -> None:
    pytest_in(lab, str(INSIDE / file))


@pytest.mark.thorough
@pytest.mark.limit(1000)
@pytest.mark.parametrize("file", ["test_slices.py", "test_userns.py"])
def test_engine_on_cgroups_v2(lab: Machine, file: str) -> None:
    pytest_in(lab, f"tests/e2e/{file}")


@pytest.mark.thorough
@pytest.mark.limit(1000)
def test_engine_on_cgroups_v1(debian: Kernel) -> None:
    with Machine(debian, cgroups=1) as machine:
        pytest_in(machine, "tests/e2e/test_run.py", "-k", "memory or cpus or pause or stats")

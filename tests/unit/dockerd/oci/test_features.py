import asyncio
from pathlib import Path

import pytest

from services.dockerd.oci import features


def runtime(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_runtime_is_asked_once(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program = runtime(tmp_path / "runtime", f"""echo x >> {asked}; echo '{{"mountOptions":["ro","rro"]}}'""")
    assert asyncio.run(features.mount_options(program)) == {"ro", "rro"}
    assert asyncio.run(features.readonly_problem(program, "r")) == ""
    assert asked.read_text() == "x\n"


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo '[]'", """echo '{"mountOptions":null}'"""])
def test_silent_runtime_can_nothing(tmp_path: Path, script: str) -> None:
    program = runtime(tmp_path / "runtime", script)
    assert asyncio.run(features.mount_options(program)) == frozenset()
    told = 'rro is not supported by runtime "r": OCI features struct is not available'
    assert asyncio.run(features.readonly_problem(program, "r")) == told


def test_older_runtime_says_what_it_cannot(tmp_path: Path) -> None:
    program = runtime(tmp_path / "runtime", """echo '{"mountOptions":["ro"]}'""")
    assert asyncio.run(features.readonly_problem(program, "r")) == 'rro is not supported by runtime "r"'


def test_missing_runtime_can_nothing(tmp_path: Path) -> None:
    assert asyncio.run(features.mount_options(str(tmp_path / "nosuch"))) == frozenset()

"""Where programs are found."""

from pathlib import Path

from services.dockerd import programs


def test_a_path_names_a_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    assert programs.which(str(program)) == ""
    program.chmod(0o755)
    assert programs.which(str(program)) == str(program)


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    assert programs.which(str(tmp_path)) == ""


def test_names_are_looked_for() -> None:
    assert programs.which("sh").endswith("/sh")
    assert programs.which("no-such-program") == ""

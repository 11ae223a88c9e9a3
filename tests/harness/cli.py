"""The real `docker` command against one engine: every call has a deadline and an answer that can be asserted on."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import leftovers
from tests.harness.wait import PATIENCE

PROGRAM = shutil.which("docker") or "docker"
TIMEOUT = 30.0 * PATIENCE


@dataclass(frozen=True, slots=True)
class Result:
    words: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.stderr.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def __str__(self) -> str:
        return f"$ docker {shlex.join(self.words)}\ncode {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass(slots=True)
class Docker:
    """`docker("run", …)` gives a Result; `docker.ok(…)` the trimmed output; `docker.fails(…)` the error's text."""

    host: str
    environment: dict[str, str] = field(default_factory=dict)
    config: Path = field(default_factory=lambda: leftovers.directory("docker-config"))
    before: tuple[str, ...] = ()
    """Words before `docker`, which enter a network namespace."""

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        base = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        return (
            base | {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.config)} | self.environment | dict(more or {})
        )

    def __call__(
        self,
        *words: str,
        stdin: bytes | None = None,
        timeout: float = TIMEOUT,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Result:
        try:
            done = subprocess.run(
                [*self.before, PROGRAM, *words],
                input=stdin or b"",
                capture_output=True,
                timeout=timeout,
                env=self.env(env),
                cwd=cwd,
            )
        except subprocess.TimeoutExpired as late:
            result = Result(words, -1, late.stdout or b"", late.stderr or b"")
            raise AssertionError(f"no end within {timeout} s\n{result}") from None
        return Result(words, done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: bytes | None = None, timeout: float = TIMEOUT) -> str:
        result = self(*words, stdin=stdin, timeout=timeout)
        assert result.code == 0, str(result)
        return result.out.strip()

    def fails(self, *words: str, code: int | None = None, timeout: float = TIMEOUT) -> str:
        result = self(*words, timeout=timeout)
        assert result.code != 0, str(result)
        assert code is None or result.code == code, str(result)
        return result.err.strip()

    def start(self, *words: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
        """The command as a child whose three streams are pipes; end it with `end`."""
        return subprocess.Popen(
            [*self.before, PROGRAM, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=self.env(),
            bufsize=0,
        )

    def inspect(self, reference: str, template: str) -> str:
        return self.ok("inspect", "--format", template, reference)

    def close(self) -> None:
        shutil.rmtree(self.config, ignore_errors=True)


def end(child: "subprocess.Popen[bytes]") -> None:
    """Whatever the child's state: gone, reaped, its pipes closed."""
    child.kill()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()
    child.wait(10)

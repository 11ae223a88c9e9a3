"""Run a program to its end and hear what it says; for threads, since it waits."""

import os
import shlex
import shutil
from typing import Final, NamedTuple

from protos.errdefs import Internal, Unavailable

SEARCH: Final = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


class Output(NamedTuple):
    status: int
    stdout: str
    stderr: str


def run(arguments: tuple[str, ...], given: str = "", package: str = "iptables") -> str:
    """Its stdout. A failure is Internal, with a line to paste into a shell and the tail of its stderr."""
    output = _run(arguments, given, package)
    if output.status:
        said = " | ".join(output.stderr.strip().splitlines()[-4:]) or "it said nothing"
        raise Internal(f"{shlex.join(arguments)}: exit status {output.status}: {said}")
    return output.stdout


def there(program: str) -> bool:
    return shutil.which(program, path=SEARCH) is not None


def hear(arguments: tuple[str, ...]) -> Output:
    """What a program says, however it ends."""
    return _run(arguments, "", arguments[0])


def _run(arguments: tuple[str, ...], given: str, package: str) -> Output:
    """By files in memory rather than pipes: nothing to pump, and a full pipe cannot block."""
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        os.pwrite(files[0], given.encode(), 0)
        actions = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files)]
        try:
            program = shutil.which(arguments[0], path=SEARCH) or arguments[0]
            pid = os.posix_spawn(
                program, arguments, os.environ, file_actions=actions, setsigmask=(), setsigdef=range(1, 32)
            )
        except FileNotFoundError:
            raise Unavailable(f"{arguments[0]} is not installed (Debian: apt-get install {package})") from None
        status = _wait(pid)
        said = [os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace") for file in files[1:]]
    finally:
        for file in files:
            os.close(file)
    # Somebody else may have reaped it; then only its complaint tells.
    return Output(bool(said[1]) if status is None else status, *said)


def _wait(pid: int) -> int | None:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None

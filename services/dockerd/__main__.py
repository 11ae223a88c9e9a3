"""dockerd: flags, checks, locks, signals, exit code. What it serves: server.py.

docker-containerd is spawned before the heavy imports, so that both boot at once.
"""

import gc
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from protos.errdefs import EngineError, FailedPrecondition
from services.dockerd import activation, invocation, lock, proxies, release, requirements, userns
from services.dockerd.config import Config
from services.dockerd.notify import Teller
from services.dockerd.remote import launch

NAME: Final = "dockerd"


def main() -> int:
    gc.disable()  # until everything is loaded; server.py turns it on again
    try:
        asked = invocation.parse(sys.argv[1:])
        for note in asked.notes:
            print(note, file=sys.stderr)
        if asked.help:
            return _print(_usage())
        if asked.version:
            return _print(f"Docker version {release.VERSION}, build {release.BUILD}")
        if asked.validate:
            return _print("configuration OK")
        return _run(asked.config, Teller())
    except (EngineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _print(text: str) -> int:
    print(text)
    return 0


def _usage() -> str:
    from services.dockerd.manual import text  # only for people

    return text()


def _run(settings: Config, tell: Teller) -> int:
    with ExitStack() as stack:
        try:
            settings = _prepare(settings, stack)
            contained = launch.begin(settings)
        except (EngineError, OSError) as error:
            tell(f"failed: {error}")
            raise
        # Imports only now, while docker-containerd boots: they cost more than all of the above.
        from services.dockerd import process

        launch.raise_limits()
        process.set_title(NAME, [NAME, *sys.argv[1:]])
        process.limit_arenas(2)
        process.become_subreaper()
        import asyncio

        from services.dockerd import server

        return asyncio.run(server.run(settings, contained, tell))


def _prepare(settings: Config, stack: ExitStack) -> Config:
    """Everything that may refuse the start, before anything is started; the configuration as it holds here."""
    os.umask(0o022)
    activation.claim()
    _seal()
    requirements.check(settings)
    settings = userns.settle(settings)
    userns.open_roots(settings)
    stack.callback(os.close, lock.hold(settings.data_root))
    # Whoever shares an exec root takes over the docker-containerd in it, and ends containers it does not know.
    stack.callback(os.close, lock.hold(settings.exec_root, 0o700, "--exec-root"))
    if settings.pidfile:
        lock.write_pid(Path(settings.pidfile))
        stack.callback(lock.remove_pid, Path(settings.pidfile))
    if settings.oom_score_adjust:
        _adjust_oom_score(settings.oom_score_adjust)
    proxies.export(settings.http_proxy, settings.https_proxy, settings.no_proxy)
    return settings


def _adjust_oom_score(score: int) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(score))
    except OSError as error:
        raise FailedPrecondition(
            f"--oom-score-adjust {score}: {error.strerror}: to lower it takes CAP_SYS_RESOURCE"
        ) from error


def _seal() -> None:
    """Nothing we were given beyond the standard three goes on to our children."""
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        if descriptor > 2:
            with suppress(OSError):  # that of the directory, closed by then
                os.set_inheritable(descriptor, False)


if __name__ == "__main__":
    sys.exit(main())

"""dockerd: flags, checks, locks, sockets, exit code. What it serves: server.py.

What may refuse the start comes first, then docker-containerd, then the heavy imports, so that both boot at once.
"""

import gc
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from protos import log as logs
from protos.errdefs import EngineError, FailedPrecondition
from services.dockerd import activation, invocation, lock, proxies, release, requirements, userns
from services.dockerd.config import Config
from services.dockerd.notify import Teller
from services.dockerd.remote import launch
from services.dockerd.web.listeners import Sockets, open_all

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
            sockets = _listen(settings, stack)
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

        return asyncio.run(server.run(settings, sockets, contained, tell))


def _prepare(settings: Config, stack: ExitStack) -> Config:
    """What may refuse the start, as numbered phases; the configuration as it holds here."""
    # 1. What we were born with.
    os.umask(0o022)
    activation.claim()
    _seal()
    # 2. What this machine must have, and files that must be readable.
    requirements.check(settings)
    if settings.seccomp_profile:
        from services.dockerd.oci import seccomp  # few give one

        seccomp.read(settings.seccomp_profile)
    # 3. Roots, ours alone.
    settings = userns.settle(settings)
    userns.open_roots(settings)
    stack.callback(os.close, lock.hold(settings.data_root))
    # Whoever shares an exec root takes over the docker-containerd in it, and ends containers it does not know.
    stack.callback(os.close, lock.hold(settings.exec_root, 0o700, "--exec-root"))
    if settings.pidfile:
        lock.write_pid(Path(settings.pidfile))
        stack.callback(lock.remove_pid, Path(settings.pidfile))
    # 4. This process.
    if settings.oom_score_adjust:
        _adjust_oom_score(settings.oom_score_adjust)
    proxies.export(settings.http_proxy, settings.https_proxy, settings.no_proxy)
    return settings


def _listen(settings: Config, stack: ExitStack) -> Sockets:
    """5. Sockets, so that clients queue from now on."""
    logs.configure(settings.level, settings.log_format)
    context = None
    if settings.secure:
        from services.dockerd import certificates  # loads OpenSSL

        context = certificates.context(settings)
    listeners = open_all(settings.hosts, settings.group, context)
    for listener in listeners:
        stack.callback(listener.close)
    if not settings.metrics_addr:
        return Sockets(listeners)
    from services.dockerd.metrics import exporter  # few ask for it

    return Sockets(listeners, stack.enter_context(exporter.bind(settings.metrics_addr)))


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

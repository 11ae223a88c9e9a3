"""docker-containerd-shim: one container's shim, and the commands around it."""

import os
import socket
import sys
from pathlib import Path

from protos.errdefs import EngineError, InvalidArgument
from services.shim import config as command
from services.shim import linux


def main() -> int:
    try:
        return _run(command.parse(sys.argv[1:]))
    except InvalidArgument as error:
        print(f"docker-containerd-shim: {error}", file=sys.stderr)
        return 2
    except (EngineError, OSError) as error:
        print(f"docker-containerd-shim: {error}", file=sys.stderr)
        return 1


def _run(config: command.Config) -> int:
    linux.default_library_signals()
    # Each action imports only what it needs.
    if config.help or config.version or config.info:
        return _tell(config)
    if config.action == "start":
        from services.shim import bootstrap

        bootstrap.start(config)
    elif config.action == "delete":
        from services.shim import cleanup

        cleanup.delete(config, sys.stdout.fileno())
    elif config.action == "zygote":
        return _zygote(config)
    elif config.action == "streams":
        return _streams(config)
    else:
        raise InvalidArgument(f"unknown action {config.action!r}\n{command.USAGE}")
    return 0


def _tell(config: command.Config) -> int:
    if config.help:
        print(command.USAGE, end="")
    elif config.version:
        from services.shim.api import VERSION

        print(f"docker-containerd-shim:\n  Version:  {VERSION}")
    else:
        from services.shim import bootstrap

        bootstrap.info()
    return 0


def _zygote(config: command.Config) -> int:
    if len(config.arguments) != 2 or not config.arguments[0].isdigit():
        raise InvalidArgument("zygote takes the number of the descriptor that its requests come by, and a directory")
    # What logging and threading hook into a fork guards locks that a single thread never finds taken,
    # and running it costs each shim 0.4 MB of pages that it would otherwise share.
    os.register_at_fork = lambda **hooks: None
    from services.shim import zygote

    return zygote.main(socket.socket(fileno=int(config.arguments[0])), Path(config.arguments[1]))


def _streams(config: command.Config) -> int:
    if len(config.arguments) not in (1, 2):
        raise InvalidArgument("streams takes the path of its configuration, and a directory where it is to make fifos")
    from services.shim.streams import standalone

    return standalone.main(*map(Path, config.arguments))


if __name__ == "__main__":
    sys.exit(main())

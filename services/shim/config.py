"""The command line of docker-containerd-shim: flags as containerd passes them (Go's spelling), then an action."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protos.errdefs import InvalidArgument

PROGRAM: Final = "docker-containerd-shim"
_VALUES: Final = {"namespace", "address", "publish-binary", "id", "bundle", "socket"}
_SWITCHES: Final = {"debug", "info", "v", "version", "h", "help"}
_TRUE: Final = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE: Final = {"0", "f", "F", "false", "FALSE", "False"}

USAGE: Final = """\
docker-containerd-shim [flags] start|delete        one container's shim, as containerd 2.x starts and cleans up after it
docker-containerd-shim -info | -v                  what this shim is
docker-containerd-shim streams CONFIG              own a container's streams as a `binary://` logger
docker-containerd-shim streams CONFIG DIRECTORY    the same by fifos made in DIRECTORY, in the background
docker-containerd-shim zygote FD DIRECTORY         fork shims for docker-containerd, which asks by descriptor FD

  -namespace NAME        containerd's namespace of the container
  -id ID                 the container
  -address PATH          containerd's own socket
  -publish-binary PATH   accepted and not used: events go to -address
  -bundle PATH           the bundle (default: the working directory)
  -socket PATH           where `start` serves (default: beside -address)
  -debug                 log more
"""


@dataclass(frozen=True, slots=True)
class Config:
    """One command line. `action` is empty where a switch such as -info says everything."""

    action: str = ""
    arguments: tuple[str, ...] = ()
    namespace: str = ""
    id: str = ""
    address: str = ""
    bundle: Path = Path()
    socket: str = ""
    debug: bool = False
    info: bool = False
    version: bool = False
    help: bool = False


def parse(arguments: list[str]) -> Config:
    """Raises InvalidArgument with one line that says what is wrong."""
    values: dict[str, str] = {}
    switches: dict[str, bool] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        name, given, value = rest.pop(0).lstrip("-").partition("=")
        if name in _SWITCHES:
            switches[name] = _boolean(name, value) if given else True
        elif name not in _VALUES:
            raise InvalidArgument(f"flag provided but not defined: -{name}")
        elif not given and not rest:
            raise InvalidArgument(f"flag needs an argument: -{name}")
        else:
            values[name] = value if given else rest.pop(0)
    if rest[:1] == ["--"]:
        rest.pop(0)
    return Config(
        action=rest[0] if rest else "",
        arguments=tuple(rest[1:]),
        namespace=values.get("namespace", ""),
        id=values.get("id", ""),
        address=values.get("address", ""),
        bundle=Path(values.get("bundle") or Path.cwd()),
        socket=values.get("socket", ""),
        debug=switches.get("debug", False),
        info=switches.get("info", False),
        version=switches.get("v", False) or switches.get("version", False),
        help=switches.get("h", False) or switches.get("help", False),
    )


def _boolean(name: str, value: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise InvalidArgument(f'invalid boolean value "{value}" for -{name}')
    return value in _TRUE


def command_line(config: Config) -> list[str]:
    """How a shim looks in `ps`."""
    words = [PROGRAM, "-namespace", config.namespace, "-id", config.id, "-address", config.address]
    return words if config.action == "start" else [*words, config.action]

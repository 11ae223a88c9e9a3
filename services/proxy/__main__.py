"""docker-proxy: forwards published ports.

As the original: `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80`,
one process per binding; descriptor 3 is told `0\\n`, or `1\\n` and the error; with -use-listen-fd descriptor 4 is the
listener. As ours: `docker-proxy -container-id ID -control SOCKET '0.0.0.0:8080->172.17.0.2:80/tcp' ...`, one process
per container; `docker-proxy zygote DIRECTORY` is what dockerd forks those from.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from protos import stacks

FLAGS: Final[dict[str, tuple[Callable[[str], Any], Any, str]]] = {
    "proto": (str, "tcp", "proxy protocol: tcp, udp or sctp"),
    "host-ip": (str, "", "host ip"),
    "host-port": (int, -1, "host port"),
    "container-ip": (str, "", "container ip"),
    "container-port": (int, -1, "container port"),
    "use-listen-fd": (lambda text: text not in ("false", "0"), False, "use the listener passed as descriptor 4"),
    "container-id": (str, "", "container whose ports these are"),
    "control": (str, "", "path of the control socket"),
}
READY: Final = 3
LISTENER: Final = 4


def main() -> int:
    arguments = sys.argv[1:]
    # Imports are late so that the zygote pays for nothing else than what its children use.
    if arguments[:1] == ["zygote"]:
        from services.proxy import zygote

        return zygote.main(*arguments[1:2])
    values, bindings = parse_flags(arguments)
    stacks.on_request(stacks.beside(values["control"]))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os._exit(0))
    return serve_container(values, bindings) if bindings else serve_binding(values)


def parse_flags(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Go's flag syntax: -name value, -name=value, --name; what is left are bindings."""
    values = {name: default for name, (_, default, _) in FLAGS.items()}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name, given, text = rest.pop(0).lstrip("-").partition("=")
        if name in ("h", "help"):
            usage(0)
        if name not in FLAGS:
            usage(2, f"flag provided but not defined: -{name}")
        convert, default, _ = FLAGS[name]
        if not given:
            text = "true" if default is False else rest.pop(0) if rest else usage(2, f"flag needs an argument: -{name}")
        try:
            values[name] = convert(text)
        except ValueError:
            usage(2, f'invalid value "{text}" for flag -{name}')
    return values, rest


def usage(status: int, message: str = "") -> NoReturn:
    lines = [message] if message else []
    lines += ["Usage of docker-proxy:", *(f"  -{name}\t{words}" for name, (_, _, words) in FLAGS.items())]
    print("\n".join(lines), file=sys.stderr)
    sys.exit(status)


def serve_binding(values: dict[str, Any]) -> int:
    """The original's life: one binding, readiness on descriptor 3."""
    from protos.binding import PROTOCOLS, Binding
    from services.proxy import linux
    from services.proxy.loop import Loop
    from services.proxy.proxy import Proxy

    binding = Binding(*(values[name] for name in ("proto", "host-ip", "host-port", "container-ip", "container-port")))
    loop = Loop()
    linux.raise_descriptor_limit()
    title = linux.Title()
    title.set(["docker-proxy", *sys.argv[1:]])
    try:
        if binding.protocol not in PROTOCOLS:
            raise ValueError(f"unsupported proxy protocol {binding.protocol}")
        Proxy(loop).publish(binding, socket.socket(fileno=LISTENER) if values["use-listen-fd"] else None)
    except (OSError, ValueError) as error:
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        tell(f"1\nlisten {binding.protocol} {binding.host_ip}:{binding.host_port}: {why}")
        return 1
    tell("0\n")
    loop.run()
    return 0


def serve_container(values: dict[str, Any], spellings: list[str]) -> int:
    """All ports of one container, with a control socket if it has a path."""
    from protos.binding import parse
    from services.proxy import linux
    from services.proxy.control import Control
    from services.proxy.loop import Loop
    from services.proxy.proxy import Proxy

    loop = Loop()
    proxy = Proxy(loop, values["container-id"])
    linux.raise_descriptor_limit()
    title = linux.Title()
    title.set(["docker-proxy", *sys.argv[1:]])
    try:
        for spelling in spellings:
            for binding in parse(spelling):
                proxy.publish(binding)
        if values["control"]:
            Control(proxy, listen_unix(values["control"]))
    except (OSError, ValueError) as error:
        tell(f"1\n{error}")
        print(f"docker-proxy: {error}", file=sys.stderr)
        return 1
    tell("0\n")
    loop.run()
    return 0


def listen_unix(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    return listener


def tell(message: str) -> None:
    """Answer whoever started us, if that gave a descriptor for it."""
    try:
        os.write(READY, message.encode())
        os.close(READY)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())

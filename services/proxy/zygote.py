"""The warm process that every docker-proxy is forked from, in about a millisecond, sharing its memory.

dockerd starts it with a socket (SOCK_SEQPACKET) as its stdin and asks by messages: JSON of a Spawn's fields, the
descriptors of the control socket and of the listeners beside it. Large ranges take several messages (`more`), since one
carries at most 253 descriptors. It answers each with the pid, or an error. The proxies are dockerd's own children and
outlive it; the zygote ends with dockerd.
"""

import array
import gc
import json
import os
import signal
import socket
import sys
from typing import Any, Final

from protos.binding import Binding, spell
from services.proxy import linux
from services.proxy.control import Control
from services.proxy.loop import Loop
from services.proxy.proxy import Proxy

CHANNEL: Final = 0
LARGEST_MESSAGE: Final = 1 << 17
MOST_DESCRIPTORS: Final = 253
RESET_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Spawn:
    """One proxy to be: which container, where its control socket lies, what it publishes."""

    __slots__ = ("bindings", "container_id", "control_path", "descriptors")

    def __init__(self, container_id: str, control_path: str) -> None:
        self.container_id = container_id
        self.control_path = control_path
        self.bindings: list[Binding] = []
        self.descriptors: list[int] = []
        """The listening control socket, then one listener per binding."""


def main() -> int:
    """Serve until dockerd goes away."""
    linux.die_with_parent(signal.SIGKILL)
    own = linux.Title(["docker-proxy", "zygote"])
    own.show()
    linux.raise_descriptor_limit()
    os.setsid()
    for number in RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    channel = socket.socket(fileno=CHANNEL)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    warm_up()
    while (spawn := receive(channel)) is not None:
        title = linux.Title(arguments(spawn))
        try:
            pid = linux.clone_to_parent()
        except OSError as error:
            answer: dict[str, Any] = {"error": f"docker-proxy: clone: {error.strerror}"}
        else:
            if pid == 0:
                title.show()
                become(spawn, null)
            answer = {"pid": pid}
        for descriptor in spawn.descriptors:
            os.close(descriptor)
        channel.send(json.dumps(answer).encode())
    return 0


def receive(channel: socket.socket) -> Spawn | None:
    """The next complete request; None once dockerd is gone."""
    spawn: Spawn | None = None
    room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
    while True:
        data, ancillary, _, _ = channel.recvmsg(LARGEST_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return None
        message: dict[str, Any] = json.loads(data)
        spawn = spawn or Spawn(message["container_id"], message["control_path"])
        spawn.bindings += [Binding(*fields) for fields in message["bindings"]]
        for _, _, packed in ancillary:
            spawn.descriptors += array.array("i", packed)
        if not message["more"]:
            return spawn


def become(spawn: Spawn, null: int) -> None:
    """Be the proxy, without dockerd's terminal or log, which may end before it. Does not return."""
    status = 1
    try:
        os.setsid()
        for descriptor in (CHANNEL, 1, 2):
            os.dup2(null, descriptor)
        loop = Loop()
        proxy = Proxy(loop, spawn.container_id)
        Control(proxy, socket.socket(fileno=spawn.descriptors[0]))
        proxy.publish_all(spawn.bindings, spawn.descriptors[1:])
        loop.run()
        status = 0
    finally:
        os._exit(status)


def arguments(spawn: Spawn) -> list[str]:
    """The command line of a proxy, which works as one too, and which a new dockerd reads to adopt it."""
    options = ["-container-id", spawn.container_id, "-control", spawn.control_path]
    return ["docker-proxy", *options, *spell(spawn.bindings)]


def warm_up() -> None:
    """Run what a proxy runs once, so that the interpreter's caches are written before the memory is shared."""
    loop = Loop()
    proxy = Proxy(loop)
    binding = Binding("tcp", "127.0.0.1", 0, "127.0.0.1", 9)
    proxy.publish(binding)
    proxy.remove(binding)
    loop.later(0, loop.stop)
    loop.run()
    loop.close()
    spell([binding, binding._replace(protocol="udp")])
    sys.stderr.flush()
    gc.collect()
    gc.freeze()

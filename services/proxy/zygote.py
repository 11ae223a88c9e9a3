"""The warm process that every docker-proxy is forked from, in about a millisecond, sharing its memory.

dockerd starts it with a socket (SOCK_SEQPACKET) as its stdin. A request is text: a line with the container's id, the
control socket's path and `more` or `last`, then a line for each binding; the descriptors of the control socket and of
the listeners come beside it. Large ranges take several messages, since one carries at most 253 descriptors. The answer
is the pid. The proxies are dockerd's own children and outlive it; the zygote ends with dockerd.

The zygote forks as soon as a request can be read, and the child reads it: whatever the zygote itself does costs memory,
for each page that it changes is shared no more.
"""

import array
import gc
import os
import select
import signal
import socket
import sys
from typing import Final

from protos import sealed, stacks
from protos.binding import Binding, spell
from services.proxy import linux
from services.proxy.control import Control
from services.proxy.loop import Loop, report
from services.proxy.proxy import Proxy
from services.proxy.rest import Rest

CHANNEL: Final = 0
LARGEST_MESSAGE: Final = 1 << 17
MOST_DESCRIPTORS: Final = 253
APART: Final = 128
"""Pages in which a proxy may differ from another one that it shares with."""
RESET_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Spawn:
    """One proxy to be: which container, where its control socket lies, what it publishes."""

    __slots__ = ("bindings", "container_id", "control_path", "descriptors")

    def __init__(self) -> None:
        self.container_id = ""
        self.control_path = ""
        self.bindings: list[Binding] = []
        self.descriptors: list[int] = []
        """The listening control socket, then one listener per binding."""


def main(directory: str = "") -> int:
    """Serve until dockerd goes away; `directory` is where SIGUSR1 is answered."""
    linux.die_with_parent(signal.SIGKILL)
    title = linux.Title()
    title.set(["docker-proxy", "zygote"])
    linux.raise_descriptor_limit()
    os.setsid()
    for number in RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    stacks.on_request(f"{directory}/zygote.stacks.log" if directory else "")
    channel = socket.socket(fileno=CHANNEL)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    child = linux.Title()
    warm_up()
    serve(channel, null, child)
    return 0


def serve(channel: socket.socket, null: int, child: linux.Title) -> None:
    poll = select.poll()
    poll.register(CHANNEL, select.POLLIN)
    memory = seal()
    while not poll.poll()[0][1] & select.POLLHUP:
        fork(channel, null, child, memory)


def fork(channel: socket.socket, null: int, child: linux.Title, memory: sealed.Sealed | None) -> None:
    reader, writer = os.pipe()
    try:
        pid = linux.clone_to_parent()
    except OSError as error:
        receive(channel)
        channel.send(f"docker-proxy: clone: {error.strerror}".encode())
    else:
        if pid == 0:
            os.close(reader)
            become(channel, writer, null, child, memory)
    os.close(writer)
    os.read(reader, 1)  # ends when the child has read its request
    os.close(reader)


def receive(channel: socket.socket) -> Spawn:
    """The next complete request."""
    spawn = Spawn()
    room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
    more = True
    while more:
        data, ancillary, _, _ = channel.recvmsg(LARGEST_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        first, *lines = data.decode().splitlines()
        spawn.container_id, spawn.control_path, word = first.split("\t")
        for line in lines:
            protocol, host_ip, host_port, container_ip, container_port = line.split()
            spawn.bindings.append(Binding(protocol, host_ip, int(host_port), container_ip, int(container_port)))
        for _, _, packed in ancillary:
            spawn.descriptors += array.array("i", packed)
        more = word == "more"
    return spawn


def become(
    channel: socket.socket, writer: int, null: int, title: linux.Title, memory: sealed.Sealed | None
) -> None:
    """Be the proxy, without dockerd's terminal or log, which may end before it. Does not return."""
    status = 1
    try:
        spawn = receive(channel)
        os.close(writer)
        os.setsid()
        title.set(arguments(spawn))
        stacks.name(stacks.beside(spawn.control_path))
        loop = Loop()
        proxy = Proxy(loop, spawn.container_id)
        Control(proxy, socket.socket(fileno=spawn.descriptors[0]))
        proxy.publish_all(spawn.bindings, spawn.descriptors[1:])
        channel.send(b"%d" % os.getpid())
        for descriptor in (CHANNEL, 1, 2):
            os.dup2(null, descriptor)
        if memory:
            Rest(loop, memory)
        loop.run()
        status = 0
    finally:
        os._exit(status)


def seal() -> sealed.Sealed | None:
    """None where the kernel or the C library cannot do it: proxies are larger then."""
    try:
        return sealed.seal(APART)
    except OSError as error:
        report(f"memory is not sealed: {error}")
        return None


def arguments(spawn: Spawn) -> list[str]:
    """The command line of a proxy, which works as one too, and which a new dockerd reads to adopt it."""
    options = ["-container-id", spawn.container_id, "-control", spawn.control_path]
    return ["docker-proxy", *options, *spell(spawn.bindings)]


def warm_up() -> None:
    """Run what a proxy runs once, so that the interpreter's caches are written before the memory is shared."""
    loop = Loop()
    proxy = Proxy(loop)
    binding = Binding("tcp", "127.0.0.1", 0, "127.0.0.1", 9)
    try:
        proxy.publish(binding)
        proxy.remove(binding)
    except OSError:
        pass  # the host's loopback is down: what is not warm now gets so in each proxy
    loop.later(0, loop.stop)
    loop.run()
    loop.close()
    spell([binding, binding._replace(protocol="udp")])
    sys.stderr.flush()
    gc.collect()
    gc.freeze()

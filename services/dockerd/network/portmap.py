"""Host ports of containers: taken here, in the table and in the kernel, before anything else learns of them.

dockerd binds (and for TCP listens) itself, so a port in use is found at once and with the kernel's word, and clients
queue until a docker-proxy, handed the socket, accepts them.
"""

import errno
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from protos.binding import Binding
from protos.errdefs import Internal
from services.dockerd.network.ports import Taken, Wish, ephemeral_range

BACKLOG: Final = 4096
RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
KINDS: Final = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Published(NamedTuple):
    binding: Binding
    listener: socket.socket


class PortInUse(Exception):
    """Somebody outside holds a port; network/holder.py finds out who."""

    def __init__(self, protocol: str, address: str, port: int) -> None:
        shown = f"[{address}]" if ":" in address else address
        super().__init__(f"failed to bind host port {shown}:{port}/{protocol}: address already in use")
        self.protocol = protocol
        self.port = port


class PortMap:
    """`listening` is for a proxy; without one a port is only bound, so that nobody else takes it."""

    def __init__(self, *, listening: bool = True) -> None:
        self._taken = Taken()
        self._listening = listening

    def publish(self, wishes: Iterable[Wish], container_ips: Sequence[str], owner: str) -> list[Published]:
        """Listeners for all wishes, or for none: an error gives back what was taken. `container_ips`: one of each
        family that the container has and that is translated."""
        published: list[Published] = []
        try:
            for wish in wishes:
                published += self._publish(wish, container_ips, owner)
        except BaseException:
            self.close(published)
            self.release(each.binding for each in published)
            raise
        return published

    def adopt(self, bindings: Iterable[Binding], owner: str) -> None:
        """Note what a container holds already."""
        for binding in bindings:
            if binding.host_port:
                self._taken.add(binding, owner)

    def listen(self, bindings: Iterable[Binding]) -> list[Published]:
        """New listeners for bindings that are taken already."""
        published: list[Published] = []
        try:
            for binding in bindings:
                published.append(Published(binding, listen(binding, self._listening)))
        except OSError as error:
            self.close(published)
            raise _refused(binding, error) from error
        return published

    def release(self, bindings: Iterable[Binding]) -> None:
        for binding in bindings:
            self._taken.remove(binding)

    @staticmethod
    def close(published: Iterable[Published]) -> None:
        for each in published:
            each.listener.close()

    def _publish(self, wish: Wish, container_ips: Sequence[str], owner: str) -> list[Published]:
        if not container_ips:
            return []
        for port in self._taken.candidates(wish, ephemeral()):
            try:
                published = self._listen(wish, port, container_ips)
            except PortInUse:
                if len(wish.ports) == 1:
                    raise
                continue
            self.adopt((each.binding for each in published), owner)
            return published
        raise AssertionError("candidates end by raising")

    def _listen(self, wish: Wish, port: int, container_ips: Sequence[str]) -> list[Published]:
        """A port on all addresses of a wish, or on none."""
        published: list[Published] = []
        try:
            for address in wish.addresses:
                container_ip = self._behind(address, container_ips)
                if not container_ip and address in wish.optional:
                    continue
                if not container_ip:
                    raise Internal(f"cannot map {address} to a container without an address of its family")
                binding = Binding(wish.protocol, address, port, container_ip, wish.container_port)
                try:
                    published.append(Published(binding, listen(binding, self._listening)))
                except OSError as error:
                    if error.errno not in NO_SUCH_FAMILY or address not in wish.optional:
                        raise _refused(binding, error) from error
        except BaseException:
            self.close(published)
            raise
        return published

    def _behind(self, address: str, container_ips: Sequence[str]) -> str:
        """Which of a container's addresses a host address leads to: one of the same family, or by a proxy from IPv6
        to IPv4, as with Docker; "" if there is none."""
        six = ":" in address
        same = [each for each in container_ips if (":" in each) == six]
        return next(iter(same or (container_ips if six and self._listening else ())), "")



def ephemeral() -> range:
    """Where ports come from that nobody asked for by number."""
    try:
        return ephemeral_range(RANGE_FILE.read_text())
    except OSError:
        return ephemeral_range("")


def listen(binding: Binding, listening: bool = True) -> socket.socket:
    """The socket that receives what is sent to a binding's host side."""
    kind, protocol = KINDS[binding.protocol]
    family = socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET
    listener = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections that have just ended are no hindrance.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((binding.host_ip, binding.host_port))
        if kind == socket.SOCK_STREAM and listening:
            listener.listen(BACKLOG)
        elif kind == socket.SOCK_STREAM:
            # A port that is bound with it and not listened on would be anybody's.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        listener.close()
        raise
    return listener


def _refused(binding: Binding, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(binding.protocol, binding.host_ip, binding.host_port)
    why = (error.strerror or str(error)).lower()
    return Internal(f"failed to bind host port {binding.host_ip}:{binding.host_port}/{binding.protocol}: {why}")

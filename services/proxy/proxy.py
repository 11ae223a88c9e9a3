"""The published ports of one container: a Forward per binding, on one loop."""

import socket
from collections.abc import Iterable

from protos.binding import Binding
from protos.errdefs import NotFound
from services.proxy import linux, sctp, tcp, udp
from services.proxy.loop import Loop

Forward = tcp.Forward | udp.Forward
_FORWARDS: dict[str, type[tcp.Forward] | type[udp.Forward]] = {
    "tcp": tcp.Forward,
    "udp": udp.Forward,
    "sctp": sctp.Forward,
}


class Proxy:
    def __init__(self, loop: Loop, container_id: str = "") -> None:
        self.loop = loop
        self.container_id = container_id
        self.forwards: dict[Binding, Forward] = {}

    def publish(self, binding: Binding, listener: socket.socket | None = None) -> None:
        """Forward a binding, by a listener that was made for it or by one of our own."""
        self.forwards[binding] = _FORWARDS[binding.protocol](self.loop, binding, listener or linux.listen(binding))

    def publish_all(self, bindings: Iterable[Binding], descriptors: Iterable[int]) -> None:
        for binding, descriptor in zip(bindings, descriptors, strict=True):
            self.publish(binding, socket.socket(fileno=descriptor))

    def remove(self, binding: Binding) -> None:
        """Publish a binding no more; established TCP connections go on."""
        forward = self.forwards.pop(binding, None)
        if forward is None:
            raise NotFound(f"docker-proxy of {self.container_id or 'no container'} does not publish {binding}")
        forward.close()

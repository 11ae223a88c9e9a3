"""One published port, and how a docker-proxy's command line spells it: `0.0.0.0:8080->172.17.0.2:80/tcp`, with ranges.

Shared since a new dockerd learns from the command lines of living proxies what they publish.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PROTOCOLS = ("tcp", "udp", "sctp")
_PORTS = r"(\d+)(?:-(\d+))?"
_ADDRESS = r"\[?([0-9a-fA-F.:%\w]+?)\]?"
_SPELLING = re.compile(rf"{_ADDRESS}:{_PORTS}->{_ADDRESS}:{_PORTS}/(\w+)")


class Binding(NamedTuple):
    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int

    def __str__(self) -> str:
        return _spell(self, 1)

    def follows(self, other: "Binding", count: int) -> bool:
        """Whether this is the next one of a range of `count` that starts with `other`."""
        return self == other._replace(host_port=other.host_port + count, container_port=other.container_port + count)


def parse(text: str) -> Iterator[Binding]:
    """The bindings a spelling stands for; ValueError says what is wrong with it."""
    found = _SPELLING.fullmatch(text)
    if not found:
        raise ValueError(f"invalid binding {text!r}: want HOST-IP:PORT->CONTAINER-IP:PORT/PROTOCOL")
    host_ip, host_first, host_last, container_ip, container_first, container_last, protocol = found.groups()
    host = range(int(host_first), int(host_last or host_first) + 1)
    container = range(int(container_first), int(container_last or container_first) + 1)
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid binding {text!r}: unsupported protocol {protocol}")
    if len(host) != len(container) or not host or max(host[-1], container[-1]) > 65535:
        raise ValueError(f"invalid binding {text!r}: the port ranges do not match")
    for host_port, container_port in zip(host, container, strict=True):
        yield Binding(protocol, host_ip, host_port, container_ip, container_port)


def spell(bindings: Iterable[Binding]) -> list[str]:
    """The shortest spellings that `parse` turns back into `bindings`: neighbours become ranges."""
    return [_spell(first, count) for first, count in runs(bindings)]


def runs(bindings: Iterable[Binding]) -> list[tuple[Binding, int]]:
    """Neighbours taken together: the first of each run of consecutive ports, and how many they are."""
    found: list[tuple[Binding, int]] = []
    for binding in bindings:
        if found and binding.follows(*found[-1]):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((binding, 1))
    return found


def _spell(first: Binding, count: int) -> str:
    host = _join(first.host_ip, first.host_port, count)
    return f"{host}->{_join(first.container_ip, first.container_port, count)}/{first.protocol}"


def _join(address: str, port: int, count: int) -> str:
    ports = f"{port}-{port + count - 1}" if count > 1 else str(port)
    return f"[{address}]:{ports}" if ":" in address else f"{address}:{ports}"

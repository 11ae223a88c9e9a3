"""Legacy links, `--link name:alias` (pure): how they are spelled, and the variables that tell of who is linked to."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

Port = tuple[int, str]
"""Number and protocol."""
_OWN: Final = ("HOME", "PATH")
"""Variables of the linked container that are not passed on."""


class Link(NamedTuple):
    target: str
    """Name or id of the container that is linked to."""
    alias: str


def parse(text: str) -> Link:
    """`name`, `name:alias`, or as inspect shows it `/name:/owner/alias`."""
    target, _, alias = text.partition(":")
    target = target.removeprefix("/")
    return Link(target, alias.rpartition("/")[2] or target)


def show(text: str, owner: str) -> str:
    """As inspect shows a link of the container `owner`."""
    target, alias = parse(text)
    return f"/{target}:/{owner}/{alias}"


def variables(owner: str, alias: str, address: str, ports: Iterable[Port], env: Sequence[str]) -> Iterator[str]:
    """What `owner` is told: address and exposed ports of the other, and that one's own variables."""
    prefix = alias.replace("-", "_").upper()
    known = sorted(ports, key=lambda port: (port[1] != "tcp", port[0], port[1]))
    if known:
        number, protocol = known[0]
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    for first, last, protocol in _runs(known):
        if last > first:
            run = f"{prefix}_PORT_{first}_{protocol.upper()}"
            yield f"{run}_START={protocol}://{address}:{first}"
            yield f"{run}_PORT_START={first}"
            yield f"{run}_END={protocol}://{address}:{last}"
            yield f"{run}_PORT_END={last}"
    for number, protocol in known:
        port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{port}={protocol}://{address}:{number}"
        yield f"{port}_ADDR={address}"
        yield f"{port}_PORT={number}"
        yield f"{port}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{owner}/{alias}"
    for entry in env:
        name, assigned, value = entry.partition("=")
        if assigned and name not in _OWN:
            yield f"{prefix}_ENV_{name}={value}"


def _runs(ports: Sequence[Port]) -> Iterator[tuple[int, int, str]]:
    """Neighbouring ports of one protocol: the first and the last."""
    for _, group in itertools.groupby(enumerate(ports), key=lambda each: (each[1][1], each[1][0] - each[0])):
        run = [port for _, port in group]
        yield run[0][0], run[-1][0], run[0][1]

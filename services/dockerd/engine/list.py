"""`ps`: list entries from the index's prepared bytes, and the filters that choose among containers."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from protos import errdefs
from services.dockerd.container import view
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.container.view import Entry
from services.dockerd.engine import wiring
from services.dockerd.engine.engine import Engine
from services.dockerd.filters import Filters, invalid

ACCEPTED: Final = frozenset({
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
})
_HEALTH: Final = ("none", "starting", "healthy", "unhealthy")

Test = Callable[[Container], bool]


def encode(engine: Engine, container: Container) -> Entry:
    """The list entry of a container, cut at Image and Status."""
    network = _settings(engine, container)
    head = {
        "Id": container.id,
        "Names": ["/" + container.name],
    }
    middle = {
        "ImageID": container.image,
        "Command": _command(container),
        "Created": container.created // 1_000_000_000,
        "Ports": engine.network.ports(container.id, list(container.config.ExposedPorts or {})),
        "Labels": container.labels,
        "State": container.state.status.value,
    }
    tail = {
        "HostConfig": {"NetworkMode": container.host.NetworkMode}
        | ({"Annotations": container.host.Annotations} if container.host.Annotations else {}),
        "NetworkSettings": {"Networks": network.get("Networks") or {}},
        "Mounts": [point.inspect() for point in container.mounts],
    }
    return Entry(
        orjson.dumps(head)[:-1] + b',"Image":',
        b"," + orjson.dumps(middle)[1:-1] + b',"Status":',
        b"," + orjson.dumps(tail)[1:])


def _settings(engine: Engine, container: Container) -> dict[str, Any]:
    try:
        idle = wiring.request(engine, container)
    except errdefs.NotFound:
        idle = None  # the container whose network it shares is gone
    return engine.network.settings(container.id, idle)


def _command(container: Container) -> str:
    words = (f"'{each}'" if " " in each else each for each in container.args)
    return " ".join((container.path, *words))


def image_name(engine: Engine, container: Container) -> str:
    """What was asked for, as long as it still means the container's image; then the image's ID."""
    asked = container.config.Image
    try:
        same = engine.images.find(asked).id == container.image
    except errdefs.EngineError:
        same = False
    return asked if same else container.image


def encoded(engine: Engine, chosen: list[Container], sizes: dict[str, tuple[int, int]] | None = None) -> bytes:
    """The list as JSON; `sizes` holds SizeRw and SizeRootFs by id."""
    now = time.time_ns()
    names: dict[tuple[str, str], bytes] = {}
    parts: list[bytes] = []
    for container in chosen:
        asked = (container.config.Image, container.image)
        if asked not in names:
            names[asked] = orjson.dumps(image_name(engine, container))
        entry = engine.containers.entry(container)
        status = f'"{view.status(container, now)}"'.encode()
        tail = entry.tail
        if sizes is not None and container.id in sizes:
            written, total = sizes[container.id]
            tail = f',"SizeRw":{written},"SizeRootFs":{total}'.encode() + tail
        parts.append(b"".join((entry.head, names[asked], entry.middle, status, tail)))
    return b"[" + b",".join(parts) + b"]\n"


def select(engine: Engine, wanted: Filters, *, everything: bool = False, limit: int = 0) -> list[Container]:
    """The containers to list, newest first: those that run, unless filters or `everything` say otherwise."""
    tests = list(_tests(engine, wanted))
    implied = everything or limit > 0 or any(name in wanted for name in ("status", "exited", "before", "since"))
    if not tests and limit <= 0:
        return [each for each in engine.containers.newest_first() if everything or each.state.active]
    chosen = []
    for container in engine.containers.newest_first():
        if (implied or container.state.active) and all(test(container) for test in tests):
            chosen.append(container)
            if 0 < limit <= len(chosen):
                break
    return chosen


def _tests(engine: Engine, wanted: Filters) -> Iterator[Test]:
    if "id" in wanted:
        yield lambda each: wanted.match("id", each.id)
    if "name" in wanted:
        yield lambda each: wanted.match("name", "/" + each.name) or wanted.match("name", each.name)
    if "label" in wanted:
        yield lambda each: wanted.labels("label", each.labels)
    yield from _state_tests(wanted)
    yield from _relative_tests(engine, wanted)
    if "ancestor" in wanted:
        images = set(_images(engine, wanted.get("ancestor")))
        yield lambda each: each.image in images
    if "volume" in wanted:
        yield lambda each: any(_holds(each, volume) for volume in wanted.get("volume"))
    if "network" in wanted:
        yield lambda each: any(_joined(engine, each, network) for network in wanted.get("network"))
    for name in ("publish", "expose"):
        if name in wanted:
            ports = set(_ports(name, wanted.get(name)))
            yield _publishes(engine, ports) if name == "publish" else _exposes(ports)
    if "is-task" in wanted and wanted.flag("is-task", default=False):
        yield lambda each: False


def _state_tests(wanted: Filters) -> Iterator[Test]:
    for value in wanted.get("status"):
        if value not in set(Status):
            raise invalid("status", value)
    if "status" in wanted:
        yield lambda each: wanted.exact("status", each.state.status.value)
    codes = set()
    for value in wanted.get("exited"):
        try:
            codes.add(int(value))
        except ValueError as error:
            raise invalid("exited", value) from error
    if codes:
        yield lambda each: (
            each.state.status not in (Status.CREATED, Status.RUNNING, Status.PAUSED) and each.state.exit_code in codes)
    for value in wanted.get("health"):
        if value not in _HEALTH:
            raise invalid("health", value)
    if "health" in wanted:
        yield lambda each: wanted.exact("health", each.health.status if each.health else "none")
    if "isolation" in wanted:
        yield lambda each: wanted.match("isolation", each.host.Isolation)


def _relative_tests(engine: Engine, wanted: Filters) -> Iterator[Test]:
    """`before` and `since`: older or newer than the last container named."""
    for reference in wanted.get("before"):
        newer = engine.containers.get(reference)
        yield lambda each, limit=newer.created: each.created < limit  # type: ignore[misc]
    for reference in wanted.get("since"):
        older = engine.containers.get(reference)
        yield lambda each, limit=older.created: each.created > limit  # type: ignore[misc]


def _images(engine: Engine, references: list[str]) -> Iterator[str]:
    """IDs of the images named, and of those built upon them."""
    for reference in references:
        try:
            found = engine.images.find(reference)
        except errdefs.EngineError:
            continue
        layers = found.diff_ids
        for other in engine.images.by_id.values():
            if other.id == found.id or (layers and other.diff_ids[:len(layers)] == layers):
                yield other.id


def _holds(container: Container, volume: str) -> bool:
    return any(volume in (point.name, point.destination, point.source) for point in container.mounts)


def _joined(engine: Engine, container: Container, network: str) -> bool:
    for name, endpoint in (_settings(engine, container).get("Networks") or {}).items():
        identity = endpoint.get("NetworkID", "")
        if network == name or (identity and identity.startswith(network)):
            return True
    return False


def _ports(name: str, values: list[str]) -> Iterator[str]:
    """`80`, `80/udp`, `80-90` as `80/tcp`…"""
    for value in values:
        numbers, _, protocol = value.partition("/")
        first, dash, last = numbers.partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError as error:
            raise errdefs.InvalidArgument(f"filter for '{name}' should not contain ':'" if ":" in value
                                          else f"invalid filter '{name}={value}'") from error
        yield from (f"{number}/{protocol or 'tcp'}" for number in span)


def _publishes(engine: Engine, ports: set[str]) -> Test:
    return lambda each: any(
        f"{port.get('PublicPort')}/{port['Type']}" in ports for port in engine.network.ports(each.id))


def _exposes(ports: set[str]) -> Test:
    return lambda each: bool(ports & (set(each.config.ExposedPorts or {}) | set(each.host.PortBindings or {})))

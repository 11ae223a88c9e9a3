"""Garbage collection: what no image, container, lease or label reaches is removed. Mark here, sweep by the owners.

Roots are images' targets, containers' snapshots, resources of leases, and objects labelled `containerd.io/gc.root`;
labels of images, containers and leases refer to more.
From them references lead on: `containerd.io/gc.ref.content…` and `.gc.ref.snapshot.<driver>…` labels, a snapshot's
parent, and `.gc.bref.…` labels the other way round. A lease labelled `gc.flat` holds only what it names; one
labelled `gc.expire` ends at that time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from protos.containerd.services.containers.v1.containers_pb2 import Container
from protos.containerd.services.images.v1.images_pb2 import Image
from protos.containerd.services.snapshots.v1.snapshots_pb2 import UNKNOWN
from services.containerd.metadata import labels as labelling

ROOT: Final = "containerd.io/gc.root"
FLAT: Final = "containerd.io/gc.flat"
EXPIRE: Final = "containerd.io/gc.expire"
_REF: Final = "containerd.io/gc.ref."
_BREF: Final = "containerd.io/gc.bref."


class Rows(Protocol):
    """The metadata as far as it is read here."""

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...


class Node(NamedTuple):
    kind: str
    """`content`, `snapshots/<driver>`, `ingests`; of back references also `image` and `container`."""
    namespace: str
    key: str


@dataclass(slots=True)
class Garbage:
    content: list[Node] = field(default_factory=list)
    snapshots: list[Node] = field(default_factory=list)
    """Children before parents."""
    leases: list[tuple[str, str]] = field(default_factory=list)
    held_ingests: set[tuple[str, str]] = field(default_factory=set)


def find(db: Rows, now: datetime) -> Garbage:
    """What can be removed at this moment; nothing is changed."""
    graph = _Graph(db)
    garbage = Garbage(leases=_expired(db, now))
    roots, flat = _roots(db, graph, set(garbage.leases))
    reached = graph.reach(roots) | flat
    garbage.content = [node for node in graph.content if node not in reached]
    needed = reached | graph.reach(node for node in flat if node.kind.startswith("snapshots/"))
    garbage.snapshots = [node for node in reversed(graph.snapshots) if node not in needed]
    garbage.held_ingests = {(node.namespace, node.key) for node in reached if node.kind == "ingests"}
    return garbage


class _Graph:
    """Every object that can be garbage, and what refers to what."""

    def __init__(self, db: Rows) -> None:
        self.content: list[Node] = []
        self.snapshots: list[Node] = []
        """Parents before children."""
        self.roots: set[Node] = set()
        self.edges: defaultdict[Node, list[Node]] = defaultdict(list)
        for namespace, digest, text in db.read("SELECT namespace, digest, labels FROM content"):
            node = Node("content", namespace, digest)
            self.content.append(node)
            self.add_labels(node, text)
        self._add_snapshots(db)

    def _add_snapshots(self, db: Rows) -> None:
        """Each with an edge to its parent; one that is still being made is a root."""
        by_id: dict[int, Node] = {}
        parents: dict[int, int | None] = {}
        for number, namespace, driver, key, parent, kind, text in db.read(
            "SELECT id, namespace, driver, key, parent, kind, labels FROM snapshots"
        ):
            node = by_id[number] = Node(f"snapshots/{driver}", namespace, key)
            parents[number] = parent
            self.add_labels(node, text)
            if kind == UNKNOWN:
                self.roots.add(node)
        for number, parent in parents.items():
            if parent is not None:
                self.edges[by_id[number]].append(by_id[parent])
        self.snapshots = [by_id[number] for number in sorted(by_id, key=lambda it: _depth(it, parents))]

    def add_labels(self, node: Node, text: str) -> None:
        if "containerd.io/gc." not in text:
            return
        labels = labelling.decode(text)
        if ROOT in labels:
            self.roots.add(node)
        self.edges[node].extend(references(node.namespace, labels))
        for source in _referrers(node.namespace, labels):
            self.edges[source].append(node)

    def reach(self, roots: Iterable[Node]) -> set[Node]:
        reached: set[Node] = set()
        pending = list(roots)
        while pending:
            node = pending.pop()
            if node not in reached:
                reached.add(node)
                pending.extend(self.edges.get(node, ()))
        return reached


def _depth(number: int, parents: Mapping[int, int | None]) -> int:
    depth = 0
    above = parents[number]
    while above is not None:
        depth, above = depth + 1, parents[above]
    return depth


def references(namespace: str, labels: Mapping[str, str]) -> Iterator[Node]:
    """What an object's `gc.ref` labels keep alive."""
    for label, value in labels.items():
        kind, _, rest = label.removeprefix(_REF).partition(".")
        if not label.startswith(_REF):
            continue
        if kind == "content" or kind.startswith("content/"):
            yield Node("content", namespace, value)
        elif kind == "snapshot" and rest:
            yield Node(f"snapshots/{rest.partition('/')[0]}", namespace, value)


def _referrers(namespace: str, labels: Mapping[str, str]) -> Iterator[Node]:
    """What an object's `gc.bref` labels let itself be kept alive by."""
    for label, value in labels.items():
        kind, _, rest = label.removeprefix(_BREF).partition(".")
        if not label.startswith(_BREF):
            continue
        if kind == "snapshot" and rest:
            yield Node(f"snapshots/{rest.partition('/')[0]}", namespace, value)
        elif kind in ("content", "image", "container"):
            yield Node(kind, namespace, value)


def _expired(db: Rows, now: datetime) -> list[tuple[str, str]]:
    found = []
    for namespace, lease, text in db.read("SELECT namespace, id, labels FROM leases WHERE labels LIKE '%gc.expire%'"):
        try:
            end = datetime.fromisoformat(labelling.decode(text).get(EXPIRE, ""))
        except ValueError:
            continue
        if (end if end.tzinfo else end.replace(tzinfo=UTC)) <= now:
            found.append((namespace, lease))
    return found


def _roots(db: Rows, graph: _Graph, expired: set[tuple[str, str]]) -> tuple[set[Node], set[Node]]:
    """Roots whose references count, and those of flat leases, whose do not."""
    roots = set(graph.roots)
    for namespace, name, target, record in db.read("SELECT namespace, name, target, record FROM images"):
        node = Node("image", namespace, name)
        roots |= {node, Node("content", namespace, target)}
        if b"containerd.io/gc." in record:
            roots |= set(references(namespace, Image.FromString(record).labels))
    for namespace, key, driver, snapshot, record in db.read(
        "SELECT namespace, id, snapshotter, snapshot_key, record FROM containers"
    ):
        roots |= {Node("container", namespace, key), Node(f"snapshots/{driver}", namespace, snapshot)}
        if b"containerd.io/gc." in record:
            roots |= set(references(namespace, Container.FromString(record).labels))
    flat: set[Node] = set()
    for namespace, lease, text in db.read("SELECT namespace, id, labels FROM leases WHERE labels LIKE '%gc.ref.%'"):
        if (namespace, lease) not in expired:
            labels = labelling.decode(text)
            (flat if FLAT in labels else roots).update(references(namespace, labels))
    for namespace, lease, kind, key, text in db.read(
        "SELECT namespace, lease, type, r.id, labels FROM resources r JOIN leases l USING (namespace)"
        " WHERE l.id = r.lease"
    ):
        if (namespace, lease) not in expired:
            (flat if FLAT in text else roots).add(Node(kind, namespace, key))
    return roots, flat

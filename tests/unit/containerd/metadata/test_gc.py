"""What the collector finds: each rule of reachability, alone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from protos.containerd.services.leases.v1.leases_pb2 import Resource
from services.containerd.metadata import gc
from tests.unit.containerd.metadata.stores import NS, Stores, container, digest, image, open_stores

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REF = "containerd.io/gc.ref."


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


def blob(stores: Stores, number: int, labels: dict[str, str]) -> None:
    stores.content.add(NS, digest(number), 1, labels, "", None)


def snapshot(stores: Stores, key: str, parent: int | None = None, labels: dict[str, str] | None = None) -> int:
    with stores.db.write():
        return stores.snapshots.insert(NS, key, parent, 3, labels or {}, "")


def garbage(stores: Stores) -> tuple[set[int], list[str]]:
    found = gc.find(stores.db, NOW)
    return {int(node.key.removeprefix("sha256:"), 16) for node in found.content}, [node.key for node in found.snapshots]


def test_unreferenced_things_are_garbage(stores: Stores) -> None:
    blob(stores, 1, {})
    snapshot(stores, "s")
    assert garbage(stores) == ({1}, ["s"])


def test_image_holds_what_its_labels_lead_to(stores: Stores) -> None:
    blob(stores, 1, {REF + "content.m.0": digest(2)})
    blob(stores, 2, {REF + "content.config": digest(3), REF + "content.l.0": digest(4)})
    blob(stores, 3, {REF + "snapshot.overlayfs": "top"})
    blob(stores, 4, {})
    blob(stores, 5, {})
    base = snapshot(stores, "base")
    snapshot(stores, "top", base)
    snapshot(stores, "loose", base)
    stores.images.create(NS, image("i", 1))
    assert garbage(stores) == ({5}, ["loose"])


def test_container_holds_its_snapshot_and_labels(stores: Stores) -> None:
    base = snapshot(stores, "base")
    snapshot(stores, "rw", base)
    blob(stores, 1, {})
    stores.containers.create(NS, container("c", "rw", labels={REF + "content": digest(1)}))
    assert garbage(stores) == (set(), [])


def test_root_label_holds(stores: Stores) -> None:
    blob(stores, 1, {"containerd.io/gc.root": "now"})
    snapshot(stores, "s", labels={"containerd.io/gc.root": "now", REF + "snapshot.overlayfs/x": "t"})
    snapshot(stores, "t")
    assert garbage(stores) == (set(), [])


def test_children_are_removed_before_parents(stores: Stores) -> None:
    child = snapshot(stores, "child")
    base = snapshot(stores, "base")
    middle = snapshot(stores, "middle", base)
    with stores.db.write() as execute:
        execute("UPDATE snapshots SET parent = ? WHERE id = ?", (middle, child))
    assert garbage(stores)[1] == ["child", "middle", "base"]


def test_lease_holds_until_it_expires(stores: Stores) -> None:
    blob(stores, 1, {REF + "content.x": digest(2)})
    blob(stores, 2, {})
    stores.leases.create(NS, "l", {"containerd.io/gc.expire": "2026-01-01T00:00:01Z"})
    stores.leases.add(NS, "l", Resource(type="content", id=digest(1)))
    assert garbage(stores) == (set(), [])
    late = gc.find(stores.db, NOW.replace(minute=1))
    assert (late.leases, len(late.content)) == ([(NS, "l")], 2)


def test_labels_of_a_lease_hold_too(stores: Stores) -> None:
    snapshot(stores, "view", snapshot(stores, "base"))
    stores.leases.create(NS, "l", {REF + "snapshot.overlayfs": "view"})
    assert garbage(stores) == (set(), [])


def test_flat_lease_holds_no_more_than_it_names(stores: Stores) -> None:
    blob(stores, 1, {REF + "content.x": digest(2)})
    blob(stores, 2, {})
    stores.leases.create(NS, "l", {"containerd.io/gc.flat": "yes"})
    stores.leases.add(NS, "l", Resource(type="content", id=digest(1)))
    assert garbage(stores) == ({2}, [])


def test_flat_lease_holds_the_parents_of_a_snapshot(stores: Stores) -> None:
    snapshot(stores, "rw", snapshot(stores, "base"))
    stores.leases.create(NS, "l", {"containerd.io/gc.flat": "yes"})
    stores.leases.add(NS, "l", Resource(type="snapshots/overlayfs", id="rw"))
    assert garbage(stores) == (set(), [])


@pytest.mark.parametrize("target", ["image", "container", "content"])
def test_back_reference_holds_with_its_referent(stores: Stores, target: str) -> None:
    name = digest(1) if target == "content" else "x"
    blob(stores, 2, {f"containerd.io/gc.bref.{target}.some": name})
    assert garbage(stores)[0] == {2}
    blob(stores, 1, {"containerd.io/gc.root": "y"})
    stores.images.create(NS, image("x", 1))
    stores.containers.create(NS, container("x"))
    assert garbage(stores) == (set(), [])


def test_namespaces_do_not_hold_for_each_other(stores: Stores) -> None:
    blob(stores, 1, {})
    stores.images.create("other", image("i", 1))
    assert garbage(stores)[0] == {1}


def test_snapshot_being_made_holds_its_parent(stores: Stores) -> None:
    base = snapshot(stores, "base")
    with stores.db.write():
        stores.snapshots.insert(NS, "new", base, 0, {}, "")
    assert garbage(stores) == (set(), [])


def test_leased_ingests_are_told(stores: Stores) -> None:
    stores.leases.create(NS, "l", {})
    stores.content.begin_ingest(NS, "ref", 0, "", "l")
    assert gc.find(stores.db, NOW).held_ingests == {(NS, "ref")}

from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.services.leases.v1.leases_pb2 import Resource
from tests.unit.containerd.metadata.stores import NS, Stores, digest, open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


def test_lease_holds_what_is_made_under_it(stores: Stores) -> None:
    stores.leases.create(NS, "l", {"a": "b"})
    stores.content.add(NS, digest(1), 5, {}, "l", None)
    with stores.db.write():
        stores.snapshots.insert(NS, "k", None, 2, {}, "l")
    stores.content.begin_ingest(NS, "ref", 0, "", "l")
    held = stores.leases.resources(NS, "l")
    assert [(it.type, it.id) for it in held] == [
        ("content", digest(1)), ("ingests", "ref"), ("snapshots/overlayfs", "k"),
    ]
    assert [it.id for it in stores.leases.select(NS, ["labels.a==b"])] == ["l"]


def test_removed_object_leaves_its_leases(stores: Stores) -> None:
    stores.leases.create(NS, "l", {})
    stores.content.add(NS, digest(1), 5, {}, "l", None)
    stores.content.delete(NS, digest(1))
    assert stores.leases.resources(NS, "l") == []


def test_unknown_lease_makes_nothing(stores: Stores) -> None:
    with pytest.raises(errdefs.NotFound, match='lease "l"'):
        stores.content.add(NS, digest(1), 5, {}, "l", None)
    assert not stores.content.has(NS, digest(1))


def test_resources_are_added_and_removed(stores: Stores) -> None:
    stores.leases.create(NS, "l", {})
    resource = Resource(type="snapshots/native", id="k")
    stores.leases.add(NS, "l", resource)
    assert list(stores.leases.resources(NS, "l")) == [resource]
    stores.leases.remove(NS, "l", resource)
    assert stores.leases.resources(NS, "l") == []


@pytest.mark.parametrize("kind", ["", "images", "snapshots", "content/x"])
def test_other_resources_are_refused(stores: Stores, kind: str) -> None:
    stores.leases.create(NS, "l", {})
    with pytest.raises(errdefs.Unimplemented):
        stores.leases.add(NS, "l", Resource(type=kind, id="x"))


def test_lease_is_named_once(stores: Stores) -> None:
    stores.leases.create(NS, "l", {})
    with pytest.raises(errdefs.AlreadyExists):
        stores.leases.create(NS, "l", {})
    stores.leases.delete(NS, "l")
    with pytest.raises(errdefs.NotFound):
        stores.leases.delete(NS, "l")

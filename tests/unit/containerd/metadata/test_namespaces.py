from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.services.namespaces.v1.namespace_pb2 import Namespace
from tests.unit.containerd.metadata.stores import Stores, container, image, open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


def test_first_object_makes_the_namespace(stores: Stores) -> None:
    stores.images.create("a", image("x", 1))
    assert [it.name for it in stores.namespaces.all()] == ["a"]


def test_create_and_label(stores: Stores) -> None:
    stores.namespaces.create(Namespace(name="a", labels={"x": "1"}))
    with pytest.raises(errdefs.AlreadyExists):
        stores.namespaces.create(Namespace(name="a"))
    changed = stores.namespaces.update(Namespace(name="a", labels={"y": "2"}), ["labels.y"])
    assert changed.labels == {"x": "1", "y": "2"}


def test_delete_says_what_is_left(stores: Stores) -> None:
    stores.images.create("a", image("x", 1))
    stores.containers.create("a", container("c"))
    with pytest.raises(errdefs.FailedPrecondition, match='"a" must be empty, but it still has images, containers'):
        stores.namespaces.delete("a")
    stores.images.delete("a", "x")
    stores.containers.delete("a", "c")
    stores.namespaces.delete("a")
    with pytest.raises(errdefs.NotFound):
        stores.namespaces.delete("a")


def test_deleted_namespace_is_made_again(stores: Stores) -> None:
    for _ in range(2):
        stores.containers.create("a", container("c"))
        stores.containers.delete("a", "c")
        stores.namespaces.delete("a")
    assert stores.namespaces.all() == []


def test_missing_one_has_no_labels_and_is_made_by_an_update(stores: Stores) -> None:
    assert stores.namespaces.get("a") == Namespace(name="a")
    assert stores.namespaces.all() == []
    stores.namespaces.update(Namespace(name="a", labels={"x": "1"}), ["labels.x"])
    assert stores.namespaces.get("a").labels == {"x": "1"}

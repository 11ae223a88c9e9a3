from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from protos import errdefs
from protos.containerd.services.containers.v1.containers_pb2 import Container
from tests.unit.containerd.metadata.stores import NS, Stores, container, open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


def test_created_container_is_found(stores: Stores) -> None:
    made = stores.containers.create(NS, container("c", "key", labels={"a": "b"}))
    assert stores.containers.get(NS, "c") == made
    assert made.created_at == made.updated_at
    assert [it.id for it in stores.containers.select(NS, ["labels.a==b"])] == ["c"]
    assert [it.id for it in stores.containers.select(NS, ["runtime.name==other"])] == []


def test_namespaces_are_apart(stores: Stores) -> None:
    stores.containers.create(NS, container("c"))
    stores.containers.create("other", container("c"))
    stores.containers.delete("other", "c")
    assert stores.containers.get(NS, "c").id == "c"


def test_second_of_a_name_is_refused(stores: Stores) -> None:
    stores.containers.create(NS, container("c"))
    with pytest.raises(errdefs.AlreadyExists, match='"c": already exists'):
        stores.containers.create(NS, container("c"))


@pytest.mark.parametrize(
    "bad",
    [
        Container(id="c"),
        Container(id="c", runtime=Container.Runtime(name="r")),
        Container(id="../c", runtime=Container.Runtime(name="r"), spec=Any(value=b"{}")),
        Container(id="c", runtime=Container.Runtime(name="r"), spec=Any(value=b"{}"), snapshot_key="k"),
    ],
)
def test_incomplete_container_is_refused(stores: Stores, bad: Container) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        stores.containers.create(NS, bad)


def test_update_by_mask_changes_only_that(stores: Stores) -> None:
    stores.containers.create(NS, container("c", "key", labels={"a": "1"}))
    wanted = container("c", labels={"b": "2"})
    wanted.image = "new"
    assert stores.containers.update(NS, wanted, ["labels.b", "image"]).labels == {"a": "1", "b": "2"}
    found = stores.containers.get(NS, "c")
    assert (found.image, found.snapshot_key) == ("new", "key")
    assert found.updated_at.ToNanoseconds() > found.created_at.ToNanoseconds()


def test_update_without_mask_replaces_but_not_the_immutable(stores: Stores) -> None:
    stores.containers.create(NS, container("c", "key", labels={"a": "1"}))
    assert stores.containers.update(NS, container("c", "key2"), []).labels == {}
    assert stores.containers.get(NS, "c").snapshot_key == "key2"
    other = container("c", "key")
    other.runtime.name = "other"
    with pytest.raises(errdefs.InvalidArgument, match="immutable"):
        stores.containers.update(NS, other, [])


def test_update_of_extensions(stores: Stores) -> None:
    first = container("c")
    first.extensions["x"].value = b"1"
    stores.containers.create(NS, first)
    wanted = container("c")
    wanted.extensions["y"].value = b"2"
    assert set(stores.containers.update(NS, wanted, ["extensions.y"]).extensions) == {"x", "y"}
    assert set(stores.containers.update(NS, wanted, ["extensions"]).extensions) == {"y"}


def test_missing_container_is_not_found(stores: Stores) -> None:
    for call in (stores.containers.get, stores.containers.delete):
        with pytest.raises(errdefs.NotFound, match='container "c" in namespace "default": not found'):
            call(NS, "c")

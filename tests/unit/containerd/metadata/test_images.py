from pathlib import Path

import pytest

from protos import errdefs
from tests.unit.containerd.metadata.stores import NS, Stores, digest, image, open_stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(tmp_path)


def test_created_image_is_found(stores: Stores) -> None:
    made = stores.images.create(NS, image("busybox", 1, a="b"))
    assert stores.images.get(NS, "busybox") == made
    assert stores.images.select(NS, ["name==busybox,labels.a==b"]) == [made]
    assert stores.images.select(NS, [f"target.digest=={digest(2)}"]) == []


def test_second_of_a_name_is_refused(stores: Stores) -> None:
    stores.images.create(NS, image("busybox", 1))
    with pytest.raises(errdefs.AlreadyExists):
        stores.images.create(NS, image("busybox", 2))


def test_update_moves_the_name(stores: Stores) -> None:
    stores.images.create(NS, image("busybox", 1, a="b"))
    stores.images.update(NS, image("busybox", 2), ["target"])
    found = stores.images.get(NS, "busybox")
    assert (found.target.digest, found.labels) == (digest(2), {"a": "b"})
    assert stores.images.update(NS, image("busybox", 2), []).labels == {}


def test_update_of_an_unknown_field_is_refused(stores: Stores) -> None:
    stores.images.create(NS, image("busybox", 1))
    with pytest.raises(errdefs.InvalidArgument, match='"name"'):
        stores.images.update(NS, image("busybox", 1), ["name"])


def test_delete_with_a_target_spares_a_moved_name(stores: Stores) -> None:
    stores.images.create(NS, image("busybox", 1))
    with pytest.raises(errdefs.NotFound):
        stores.images.delete(NS, "busybox", digest(2))
    stores.images.delete(NS, "busybox", digest(1))
    with pytest.raises(errdefs.NotFound):
        stores.images.get(NS, "busybox")


@pytest.mark.parametrize("field", ["name", "digest", "media_type", "size"])
def test_incomplete_image_is_refused(stores: Stores, field: str) -> None:
    bad = image("busybox", 1)
    if field == "name":
        bad.name = ""
    else:
        bad.target.ClearField(field)
    with pytest.raises(errdefs.InvalidArgument):
        stores.images.create(NS, bad)

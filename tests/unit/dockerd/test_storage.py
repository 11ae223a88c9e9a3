"""Docker's names of storage drivers, and what a container may ask of them."""

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import storage


@pytest.mark.parametrize(("docker", "containerd"), [
    ("overlay2", "overlayfs"), ("vfs", "native"), ("devicemapper", "devmapper"), ("btrfs", "btrfs"), ("aufs", "aufs"),
])
def test_names_are_translated_both_ways(docker: str, containerd: str) -> None:
    assert (storage.snapshotter(docker), storage.driver(containerd)) == (containerd, docker)


def test_a_size_is_in_bytes() -> None:
    assert storage.size("overlayfs", {"size": "20m"}) == 20 << 20
    assert storage.size("overlayfs", {}) == 0


@pytest.mark.parametrize(("snapshotter", "options", "text"), [
    ("overlayfs", {"colour": "red"}, "Unknown option colour"),
    ("btrfs", {"colour": "red"}, 'Unknown option colour ("btrfs" driver)'),
    ("native", {"colour": "red"}, "Storage opt colour not supported"),
    ("aufs", {"colour": "red"}, "--storage-opt is not supported for aufs"),
    ("overlayfs", {"size": "much"}, "invalid size: 'much'"),
    ("btrfs", {"size": "0"}, "btrfs: invalid storage size: 0B"),
])
def test_refusals_are_dockers(snapshotter: str, options: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        storage.size(snapshotter, options)
    assert str(refused.value) == text

"""The metadata of a thin pool, read as thin_restore(8) has written it."""

from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.snapshots.devicemapper.thin import BLOCK, Contents, Metadata
from tests.fakes import thin


def read(place: Path) -> Contents:
    metadata = Metadata(place)
    try:
        return metadata.contents()
    finally:
        metadata.close()


@pytest.mark.parametrize("count", [0, 1, 126, 127, 700])
def test_every_device_is_found(tmp_path: Path, count: int) -> None:
    """A leaf of the tree holds 126; keys need not follow one another."""
    devices = {number * 3: (number % 4, number) for number in range(count)}
    found = read(thin.metadata(tmp_path / "m", count, devices))
    assert {key: (each.mapped // thin.BLOCK, each.transaction) for key, each in found.devices.items()} == devices
    assert (found.transaction, found.block) == (count, thin.BLOCK)
    assert found.used == sum(mapped for mapped, _ in devices.values()) * thin.BLOCK


def test_damage_is_told(tmp_path: Path) -> None:
    place = thin.metadata(tmp_path / "m", 1, {1: (1, 0)})
    whole = place.read_bytes()
    place.write_bytes(bytes(BLOCK) + whole[BLOCK:])
    with pytest.raises(errdefs.DataLoss, match="it has no superblock"):
        read(place)
    place.write_bytes(whole[:BLOCK] + bytes(len(whole) - BLOCK))
    with pytest.raises(errdefs.DataLoss, match="is no part of the tree of devices"):
        read(place)
    place.write_bytes(whole[:BLOCK])
    with pytest.raises(errdefs.DataLoss, match="lies beyond its end"):
        read(place)

"""The options `dm.*`, and Docker's words for what is wrong with them."""

import pytest

from protos import errdefs
from services.containerd.snapshots.devicemapper.settings import Settings, parse


def test_nothing_given_is_dockers_default() -> None:
    found = parse({})
    assert found == Settings()
    assert (found.base_size, found.loop_data_size, found.loop_metadata_size) == (10 << 30, 100 << 30, 2 << 30)
    assert (found.block_size, found.min_free) == (64 << 10, 10)


def test_values_are_read() -> None:
    found = parse({
        "dm.basesize": "20G", "dm.loopdatasize": "200g", "dm.loopmetadatasize": "4GB", "dm.fs": "xfs",
        "dm.mkfsarg": "-O ^has_journal", "dm.mountopt": "nodiscard,noatime",
        "dm.thinpooldev": "/dev/mapper/docker-pool",
        "dm.blocksize": "512K", "dm.use_deferred_removal": "true", "dm.use_deferred_deletion": "1",
        "dm.min_free_space": "5%", "dm.blkdiscard": "false", "dm.override_udev_sync_check": "true",
    })
    assert (found.base_size, found.base_size_given) == (20 << 30, True)
    assert (found.loop_data_size, found.loop_metadata_size, found.block_size) == (200 << 30, 4 << 30, 512 << 10)
    assert (found.filesystem, found.mkfs, found.mount) == ("xfs", ("-O", "^has_journal"), ("nodiscard", "noatime"))
    assert (found.pool, found.discard, found.min_free) == ("docker-pool", False, 5)
    assert found.deferred_removal and found.deferred_deletion


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("dm.nonsense", "1", "devmapper: Unknown option dm.nonsense"),
        ("dm.fs", "btrfs", "devmapper: Unsupported filesystem btrfs"),
        ("dm.min_free_space", "10", "devmapper: Option dm.min_free_space requires % suffix"),
        ("dm.min_free_space", "100%", "devmapper: Invalid value 100% for option dm.min_free_space"),
        ("dm.basesize", "much", "invalid size: 'much'"),
        ("dm.blocksize", "96k", "a multiple of 64k"),
        ("dm.use_deferred_removal", "perhaps", 'parsing "perhaps": invalid syntax'),
        ("dm.use_deferred_deletion", "true", "Deferred deletion can not be enabled as deferred removal is not enabled"),
        ("dm.directlvm_device", "/dev/sdb", "give it by dm.thinpooldev"),
        ("dm.xfs_nospace_max_retries", "0", "a container mounts its device itself"),
        ("dm.libdm_log_level", "9", "must be in range"),
    ],
)
def test_wrong_options_are_refused(key: str, value: str, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument) as refusal:
        parse({key: value})
    assert text in str(refusal.value)

"""Tables and reports of a thin pool."""

import pytest

from protos import errdefs
from services.containerd.snapshots.devicemapper.ioctl import Target
from services.containerd.snapshots.devicemapper.pool import Status, parse_status, pool_table
from services.containerd.snapshots.devicemapper.rows import human


def test_table_counts_sectors() -> None:
    table = pool_table(1 << 30, "7:1", "7:0", 64 << 10)
    assert table == Target(1 << 21, "thin-pool", "7:1 7:0 128 32768 1 skip_block_zeroing")


def test_report_is_read() -> None:
    text = "12 34/4096 56/16384 - rw no_discard_passdown queue_if_no_space - 1024"
    assert parse_status(Target(8, "thin-pool", text), "p") == Status(12, 34, 4096, 56, 16384)


def test_trouble_is_told() -> None:
    text = "12 34/4096 56/16384 - out_of_data_space discard_passdown queue_if_no_space needs_check 1024"
    assert parse_status(Target(8, "thin-pool", text), "p").trouble == "out of data space, to be checked"


@pytest.mark.parametrize(
    ("target", "text"),
    [(Target(8, "linear", "7:0 0"), "is not a thin pool"), (Target(8, "thin-pool", "Fail"), "has failed")],
)
def test_other_devices_are_refused(target: Target, text: str) -> None:
    with pytest.raises(errdefs.FailedPrecondition, match=text):
        parse_status(target, "p")


def test_sizes_read_as_dockers() -> None:
    assert [human(size) for size in (65536, 10 << 30, 107374182400)] == ["65.54kB", "10.74GB", "107.4GB"]

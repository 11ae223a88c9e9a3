from dataclasses import replace
from typing import Any

import pytest

from protos import errdefs
from services.dockerd.oci import limits, resources
from services.dockerd.oci.facts import Facts, facts, missing, parse_list
from services.dockerd.schema.container import HostConfig, Resources, ThrottleDevice

ABLE = Facts(
    cgroup_version=1,
    memory_limit=True,
    swap_limit=True,
    memory_reservation=True,
    memory_swappiness=True,
    oom_kill_disable=True,
    cpu_shares=True,
    cpu_cfs=True,
    cpu_realtime=True,
    cpuset=True,
    cpus="0-3",
    mems="0",
    blkio_weight=True,
    blkio_weight_device=True,
    blkio_throttle=True,
    pids_limit=True,
)
UNABLE = Facts(cgroup_version=1)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"Memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": -1}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": 8 << 20, "MemorySwap": 7 << 20}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"MemorySwap": 8 << 20}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
        ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"MemoryReservation": 1}, "Minimum memory reservation allowed is 6MB"),
        (
            {"Memory": 7 << 20, "MemoryReservation": 8 << 20},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"NanoCpus": 10**9, "CpuPeriod": 1000}, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
        ({"NanoCpus": 10**9, "CpuQuota": 1000}, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        ({"NanoCpus": 10**15}, r"Range of CPUs is from 0.01 to \d+.00, as there are only \d+ CPUs available"),
        ({"NanoCpus": -1}, "Range of CPUs is from"),
        ({"CpuPeriod": 10}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"CpusetCpus": "9"}, "Requested CPUs are not available - requested 9, available: 0-3"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"CpusetMems": "1"}, "Requested memory nodes are not available - requested 1, available: 0"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"IOMaximumIOps": 5}, "Invalid QoS settings"),
    ],
)
def test_impossible_limit_is_refused(asked: dict[str, Any], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        limits.verify(Resources(**asked), kernel=ABLE)


def test_possible_limits_pass() -> None:
    asked = Resources(
        Memory=8 << 20,
        MemorySwap=16 << 20,
        MemorySwappiness=0,
        CpuShares=5,
        CpusetCpus="0,2-3",
        PidsLimit=5,
        OomKillDisable=True,
    )
    assert limits.verify(asked, kernel=ABLE) == []


def test_kernel_without_ability_warns_and_resets() -> None:
    asked = Resources(
        Memory=8 << 20,
        CpuShares=5,
        PidsLimit=5,
        OomKillDisable=True,
        CpuQuota=5000,
        CpusetCpus="0",
        BlkioDeviceReadBps=[ThrottleDevice(Path="/dev/x", Rate=1)],
    )
    warnings = limits.verify(asked, kernel=UNABLE)
    assert len(warnings) == 7 and all(text.startswith("Your kernel does not support") for text in warnings)
    assert (asked.Memory, asked.CpuShares, asked.PidsLimit, asked.CpuQuota, asked.CpusetCpus) == (0, 0, None, 0, "")
    assert asked.OomKillDisable is None and asked.BlkioDeviceReadBps == []


def test_memory_without_swap_accounting_warns() -> None:
    asked = Resources(Memory=8 << 20, MemorySwap=16 << 20)
    assert limits.verify(asked, kernel=replace(ABLE, swap_limit=False)) == [
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
        "Memory limited without swap."
    ]
    assert asked.MemorySwap == -1


def test_update_may_raise_swap_alone() -> None:
    assert limits.verify(Resources(MemorySwap=8 << 20), update=True, kernel=ABLE) == []


def test_defaults_are_filled_in() -> None:
    host = HostConfig(Memory=8 << 20, CpuShares=1)
    limits.adapt(host, shm_size=64 << 20, cgroupns_mode="")
    assert (host.MemorySwap, host.ShmSize, host.IpcMode, host.CpuShares) == (16 << 20, 64 << 20, "private", 1)
    assert host.CgroupnsMode == ("private" if facts().cgroup_version == 2 else "host") and host.OomKillDisable is False


def test_resources_are_converted() -> None:
    document = resources.build(
        Resources(
            Memory=8 << 20, NanoCpus=1_500_000_000, PidsLimit=0, BlkioWeight=100, CpusetCpus="0", OomKillDisable=False
        )
    )
    assert document == {
        "memory": {"limit": 8 << 20, "disableOOMKiller": False},
        "cpu": {"shares": 0, "period": 100_000, "quota": 150_000, "cpus": "0"},
        "blockIO": {"weight": 100},
        "pids": {"limit": -1},
    }


def test_throttled_device_is_looked_up() -> None:
    document = resources.build(Resources(BlkioDeviceWriteIOps=[ThrottleDevice(Path="/dev/null", Rate=7)]))
    assert document["blockIO"] == {"throttleWriteIOPSDevice": [{"major": 1, "minor": 3, "rate": 7}]}
    with pytest.raises(errdefs.InvalidArgument, match="stat /dev/nosuch: no such file or directory"):
        resources.build(Resources(BlkioDeviceReadBps=[ThrottleDevice(Path="/dev/nosuch", Rate=7)]))


def test_lists_of_numbers_are_parsed() -> None:
    assert parse_list("0-2,7") == {0, 1, 2, 7}
    assert missing("1,9", "0-3") == [9] and missing("", "0") == []
    for wrong in ("a", "3-1", "-1", "1-", "99999"):
        with pytest.raises(ValueError, match=r"invalid|range"):
            parse_list(wrong)

import os
from pathlib import Path

from protos import typeurl
from protos.containerd.cgroups.v1 import metrics_pb2 as v1
from protos.containerd.cgroups.v2 import metrics_pb2 as v2
from services.dockerd import stats

SUBJECT = stats.Subject("a" * 64, "web", os.getpid())
NET_DEV = """\
Inter-|   Receive                            |  Transmit
 face |bytes packets errs drop fifo frame ...|bytes packets errs drop fifo colls carrier compressed
    lo:   100    1    0    0    0    0    0    0    100    1    0    0    0    0    0    0
  eth0:  1234   12    1    2    0    0    0    0   5678   34    3    4    0    0    0    0
"""


def v1_metrics() -> v1.Metrics:
    return v1.Metrics(
        cpu=v1.CPUStat(usage=v1.CPUUsage(total=30, kernel=10, user=20, per_cpu=[15, 15])),
        memory=v1.MemoryStat(
            cache=7,
            pg_fault=3,
            total_pg_maj_fault=4,
            hierarchical_swap_limit=9,
            usage=v1.MemoryEntry(usage=4096, max=8192, limit=1 << 63, failcnt=2),
        ),
        pids=v1.PidsStat(current=2, limit=50),
        blkio=v1.BlkIOStat(io_service_bytes_recursive=[v1.BlkIOEntry(op="Read", major=8, minor=0, value=512)]),
    )


def test_version_one_is_complete() -> None:
    sample = stats.sample(SUBJECT, typeurl.from_message(v1_metrics()), None, 1_700_000_000_000_000_001)
    assert sample["read"] == "2023-11-14T22:13:20.000000001Z" and sample["preread"] == "0001-01-01T00:00:00Z"
    assert sample["cpu_stats"]["cpu_usage"] == {
        "total_usage": 30,
        "usage_in_kernelmode": 10,
        "usage_in_usermode": 20,
        "percpu_usage": [15, 15],
    }
    assert sample["cpu_stats"]["system_cpu_usage"] > 0 and sample["cpu_stats"]["online_cpus"] > 0
    memory = sample["memory_stats"]
    assert (memory["usage"], memory["max_usage"], memory["failcnt"]) == (4096, 8192, 2)
    assert memory["limit"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    named = {"cache": 7, "pgfault": 3, "total_pgmajfault": 4, "hierarchical_memsw_limit": 9}
    assert memory["stats"] | named == memory["stats"]
    assert sample["pids_stats"] == {"current": 2, "limit": 50}
    blkio = sample["blkio_stats"]
    assert blkio["io_service_bytes_recursive"] == [{"major": 8, "minor": 0, "op": "Read", "value": 512}]
    assert blkio["io_queue_recursive"] == []
    assert (sample["name"], sample["id"]) == ("/web", "a" * 64)


def test_version_two_is_converted() -> None:
    metrics = v2.Metrics(
        cpu=v2.CPUStat(usage_usec=30, user_usec=20, system_usec=10, throttled_usec=1),
        memory=v2.MemoryStat(usage=4096, usage_limit=1 << 20, inactive_file=5),
        io=v2.IOStat(usage=[v2.IOEntry(major=8, minor=1, rbytes=1, wbytes=2)]),
    )
    sample = stats.sample(SUBJECT, typeurl.from_message(metrics), None, 1)
    assert sample["cpu_stats"]["cpu_usage"] == {
        "total_usage": 30_000,
        "usage_in_kernelmode": 10_000,
        "usage_in_usermode": 20_000,
    }
    assert sample["memory_stats"]["limit"] == 1 << 20 and sample["memory_stats"]["stats"]["inactive_file"] == 5
    assert "usage" not in sample["memory_stats"]["stats"]
    assert [each["op"] for each in sample["blkio_stats"]["io_service_bytes_recursive"]] == ["read", "write"]
    assert sample["blkio_stats"]["io_wait_time_recursive"] is None


def test_previous_sample_is_shown() -> None:
    first = stats.sample(SUBJECT, typeurl.from_message(v1_metrics()), None, 1)
    second = stats.sample(SUBJECT, typeurl.from_message(v1_metrics()), first, 2)
    assert second["precpu_stats"] == first["cpu_stats"] and second["preread"] == first["read"]


def test_stopped_container_is_empty() -> None:
    sample = stats.sample(SUBJECT, None, None)
    assert sample["read"] == "0001-01-01T00:00:00Z" and sample["memory_stats"] == {} == sample["pids_stats"]
    assert sample["cpu_stats"]["cpu_usage"]["total_usage"] == 0 and "networks" not in sample


def test_loopback_is_left_out() -> None:
    assert stats.interfaces(NET_DEV) == {
        "eth0": {
            "rx_bytes": 1234,
            "rx_packets": 12,
            "rx_errors": 1,
            "rx_dropped": 2,
            "tx_bytes": 5678,
            "tx_packets": 34,
            "tx_errors": 3,
            "tx_dropped": 4,
        }
    }
    assert stats.interfaces("") == {}


def test_own_interfaces_are_read() -> None:
    assert "lo" not in stats.interfaces(Path("/proc/self/net/dev").read_text())

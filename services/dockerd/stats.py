"""The numbers of `docker stats`: cgroup metrics of docker-containerd, interfaces and the clock, as Docker's JSON."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.any_pb2 import Any as Packed

from protos import typeurl
from protos.containerd.cgroups.v1 import metrics_pb2 as v1
from protos.containerd.cgroups.v2 import metrics_pb2 as v2
from services.dockerd.container import stamp

Document = dict[str, Any]

_BLKIO: Final = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)
_V1_MEMORY: Final = (
    ("pg_pg_in", "pgpgin"), ("pg_pg_out", "pgpgout"), ("pg_fault", "pgfault"), ("pg_maj_fault", "pgmajfault"),
    ("swap_limit", "memsw_limit"),
)
"""How the cgroup file's names differ from the message's."""
_NETWORK: Final = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
)
_COLUMNS: Final = (0, 1, 2, 3, 8, 9, 10, 11)
"""Those of /proc/net/dev, in the order of _NETWORK."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MEMORY: Final = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Subject:
    """The container that is measured."""

    id: str
    name: str
    pid: int = 0
    host_network: bool = False


def sample(subject: Subject, metrics: Packed | None, previous: Document | None, now: int = 0) -> Document:
    """One StatsResponse at `now` (ns); `metrics` None is a container that does not run."""
    document = _empty(subject)
    if metrics is None:
        return document
    if previous:
        document["preread"], document["precpu_stats"] = previous["read"], previous["cpu_stats"]
    document["read"] = stamp.rfc3339(now)
    first, second = v1.Metrics(), v2.Metrics()
    if typeurl.to_message(metrics, first):
        _add_v1(document, first)
    elif typeurl.to_message(metrics, second):
        _add_v2(document, second)
    document["cpu_stats"] |= _host_cpu(Path("/proc/stat").read_text())
    if not subject.host_network:
        networks = interfaces(_read(f"/proc/{subject.pid}/net/dev"))
        if networks:
            document["networks"] = networks
    return document


def _empty(subject: Subject) -> Document:
    idle = _cpu(0, 0, 0, 0, 0, 0)
    return {
        "read": stamp.NEVER, "preread": stamp.NEVER, "pids_stats": {}, "blkio_stats": dict.fromkeys(_BLKIO),
        "num_procs": 0, "storage_stats": {}, "cpu_stats": dict(idle), "precpu_stats": idle,
        "memory_stats": {}, "name": f"/{subject.name}", "id": subject.id,
    }


def _cpu(total: int, kernel: int, user: int, periods: int, throttled: int, time: int) -> Document:
    return {
        "cpu_usage": {"total_usage": total, "usage_in_kernelmode": kernel, "usage_in_usermode": user},
        "throttling_data": {"periods": periods, "throttled_periods": throttled, "throttled_time": time},
    }


def _present(**values: int) -> Document:
    """Without zeros, which Docker leaves out here."""
    return {key: value for key, value in values.items() if value}


def _add_v1(document: Document, metrics: v1.Metrics) -> None:
    usage, throttling = metrics.cpu.usage, metrics.cpu.throttling
    document["cpu_stats"] = _cpu(
        usage.total, usage.kernel, usage.user, throttling.periods, throttling.throttled_periods,
        throttling.throttled_time,
    )
    if usage.per_cpu:
        document["cpu_stats"]["cpu_usage"]["percpu_usage"] = list(usage.per_cpu)
    document["pids_stats"] = _present(current=metrics.pids.current, limit=metrics.pids.limit)
    memory = metrics.memory.usage
    document["memory_stats"] = _present(
        usage=memory.usage, max_usage=memory.max, failcnt=memory.failcnt, limit=_limit(memory.limit)
    ) | {"stats": _v1_memory(metrics.memory)}
    for field, key in zip(metrics.blkio.DESCRIPTOR.fields, _BLKIO, strict=True):
        entries: list[v1.BlkIOEntry] = getattr(metrics.blkio, field.name)
        document["blkio_stats"][key] = [
            {"major": each.major, "minor": each.minor, "op": each.op, "value": each.value} for each in entries
        ]


def _v1_memory(memory: v1.MemoryStat) -> Document:
    """memory.stat of the cgroup, under the file's own names."""
    stats = {}
    for field in memory.DESCRIPTOR.fields:
        if field.message_type is None:
            name = field.name
            for ours, theirs in _V1_MEMORY:
                name = name.replace(ours, theirs)
            stats[name] = getattr(memory, field.name)
    return stats


def _add_v2(document: Document, metrics: v2.Metrics) -> None:
    cpu, memory = metrics.cpu, metrics.memory
    document["cpu_stats"] = _cpu(
        cpu.usage_usec * 1000, cpu.system_usec * 1000, cpu.user_usec * 1000, cpu.nr_periods, cpu.nr_throttled,
        cpu.throttled_usec * 1000,
    )
    document["pids_stats"] = _present(current=metrics.pids.current, limit=metrics.pids.limit)
    document["memory_stats"] = _present(
        usage=memory.usage, limit=_limit(memory.usage_limit), failcnt=metrics.memory_events.oom
    ) | {"stats": {
        field.name: getattr(memory, field.name) for field in memory.DESCRIPTOR.fields
        if "usage" not in field.name and "swap" not in field.name
    }}
    document["blkio_stats"]["io_service_bytes_recursive"] = [
        {"major": each.major, "minor": each.minor, "op": op, "value": value}
        for each in metrics.io.usage for op, value in (("read", each.rbytes), ("write", each.wbytes))
    ]


def _limit(limit: int) -> int:
    """A container without a limit has the machine's memory."""
    return min(limit, _MEMORY)


def _host_cpu(proc_stat: str) -> Document:
    """Nanoseconds of all CPUs since boot, and their number."""
    first, *rest = proc_stat.splitlines()
    total = sum(int(field) for field in first.split()[1:8])
    cpus = sum(line.startswith("cpu") for line in rest)
    return {"system_cpu_usage": total * 1_000_000_000 // _TICKS, "online_cpus": cpus}


def interfaces(net_dev: str) -> dict[str, dict[str, int]]:
    """Counters of a network namespace's interfaces but loopback, from its /proc/net/dev."""
    found = {}
    for line in net_dev.splitlines()[2:]:
        name, _, counters = line.partition(":")
        fields = counters.split()
        if name.strip() != "lo" and len(fields) >= 12:
            found[name.strip()] = {key: int(fields[at]) for key, at in zip(_NETWORK, _COLUMNS, strict=True)}
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # it ended meanwhile

"""What a control group used, read from its files into containerd's two messages. A missing file counts nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from protos.containerd.cgroups.v1 import metrics_pb2 as v1_pb2
from protos.containerd.cgroups.v2 import metrics_pb2 as v2_pb2

_NANOSECONDS_PER_TICK: Final = 10**9 // os.sysconf("SC_CLK_TCK")
_UNLIMITED: Final = 2**64 - 1
_V1_NAMES: Final = {"pgpgin": "pg_pg_in", "pgpgout": "pg_pg_out", "pgfault": "pg_fault", "pgmajfault": "pg_maj_fault"}
_BLKIO: Final = {
    "io_service_bytes_recursive": ("blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"),
    "io_serviced_recursive": ("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"),
    "io_queued_recursive": ("blkio.io_queued_recursive",),
    "io_service_time_recursive": ("blkio.io_service_time_recursive",),
    "io_wait_time_recursive": ("blkio.io_wait_time_recursive",),
    "io_merged_recursive": ("blkio.io_merged_recursive",),
    "io_time_recursive": ("blkio.time_recursive",),
    "sectors_recursive": ("blkio.sectors_recursive",),
}


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()
    return []


def _number(path: Path, maximum: int = 0) -> int:
    """The one number of a file; `maximum` is what the word "max" stands for."""
    text = "".join(_lines(path)).strip()
    if text == "max":
        return maximum
    return int(text) if text.isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _lines(path))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _settings(words: list[str]) -> dict[str, int]:
    pairs = (word.partition("=") for word in words)
    return {name: _UNLIMITED if value == "max" else int(value) for name, _, value in pairs if value}


# version 1


def v1(paths: Mapping[str, Path]) -> v1_pb2.Metrics:
    metrics = v1_pb2.Metrics()
    readers = {
        "pids": _v1_pids, "cpuacct": _v1_usage, "cpu": _v1_throttling, "memory": _v1_memory, "blkio": _v1_blkio,
        "hugetlb": _v1_hugetlb, "rdma": _v1_rdma,
    }
    for controller, reader in readers.items():
        if controller in paths:
            reader(metrics, paths[controller])
    return metrics


def _v1_pids(metrics: v1_pb2.Metrics, group: Path) -> None:
    metrics.pids.current = _number(group / "pids.current")
    metrics.pids.limit = _number(group / "pids.max")


def _v1_usage(metrics: v1_pb2.Metrics, group: Path) -> None:
    ticks, usage = _table(group / "cpuacct.stat"), metrics.cpu.usage
    usage.total = _number(group / "cpuacct.usage")
    usage.user = ticks.get("user", 0) * _NANOSECONDS_PER_TICK
    usage.kernel = ticks.get("system", 0) * _NANOSECONDS_PER_TICK
    usage.per_cpu.extend(int(word) for line in _lines(group / "cpuacct.usage_percpu") for word in line.split())


def _v1_throttling(metrics: v1_pb2.Metrics, group: Path) -> None:
    table, throttling = _table(group / "cpu.stat"), metrics.cpu.throttling
    throttling.periods = table.get("nr_periods", 0)
    throttling.throttled_periods = table.get("nr_throttled", 0)
    throttling.throttled_time = table.get("throttled_time", 0)


def _v1_memory(metrics: v1_pb2.Metrics, group: Path) -> None:
    memory = metrics.memory
    known = {each.name for each in memory.DESCRIPTOR.fields if each.message_type is None}
    for name, value in _table(group / "memory.stat").items():
        total = "total_" if name.startswith("total_") else ""
        name = total + _V1_NAMES.get(name.removeprefix(total), name.removeprefix(total))
        name = {"hierarchical_memsw_limit": "hierarchical_swap_limit"}.get(name, name)
        if name in known:
            setattr(memory, name, value)
    entries = (("", memory.usage), ("memsw.", memory.swap), ("kmem.", memory.kernel), ("kmem.tcp.", memory.kernel_tcp))
    for prefix, entry in entries:
        entry.usage = _number(group / f"memory.{prefix}usage_in_bytes")
        entry.max = _number(group / f"memory.{prefix}max_usage_in_bytes")
        entry.limit = _number(group / f"memory.{prefix}limit_in_bytes")
        entry.failcnt = _number(group / f"memory.{prefix}failcnt")
    control = _table(group / "memory.oom_control")
    for name in ("oom_kill_disable", "under_oom", "oom_kill"):
        setattr(metrics.memory_oom_control, name, control.get(name, 0))


def _v1_blkio(metrics: v1_pb2.Metrics, group: Path) -> None:
    for name, files in _BLKIO.items():
        lines = next((lines for file in files if (lines := _lines(group / file))), [])
        getattr(metrics.blkio, name).extend(_blkio_entries(lines))


def _blkio_entries(lines: list[str]) -> Iterator[v1_pb2.BlkIOEntry]:
    for line in lines:
        device, *rest = line.split()
        major, _, minor = device.partition(":")
        if not rest or not minor:
            continue  # the total over all devices
        yield v1_pb2.BlkIOEntry(
            op=rest[0] if len(rest) == 2 else "", device=_device(device), major=int(major), minor=int(minor),
            value=int(rest[-1]),
        )


def _device(number: str) -> str:
    for line in _lines(Path("/sys/dev/block", number, "uevent")):
        if line.startswith("DEVNAME="):
            return "/dev/" + line.removeprefix("DEVNAME=")
    return ""


def _v1_hugetlb(metrics: v1_pb2.Metrics, group: Path) -> None:
    for file in sorted(group.glob("hugetlb.*.usage_in_bytes")):
        size = file.name.split(".")[1]
        if size != "rsvd":
            metrics.hugetlb.add(
                pagesize=size, usage=_number(file), max=_number(group / f"hugetlb.{size}.max_usage_in_bytes"),
                failcnt=_number(group / f"hugetlb.{size}.failcnt"),
            )


def _v1_rdma(metrics: v1_pb2.Metrics, group: Path) -> None:
    for entries, file in ((metrics.rdma.current, "rdma.current"), (metrics.rdma.limit, "rdma.max")):
        for device, handles, objects in _rdma(group / file):
            entries.add(device=device, hca_handles=handles, hca_objects=objects)


def _rdma(file: Path) -> Iterator[tuple[str, int, int]]:
    for line in _lines(file):
        device, *words = line.split()
        settings = _settings(words)
        limit = 2**32 - 1
        yield device, min(settings.get("hca_handle", 0), limit), min(settings.get("hca_object", 0), limit)


# version 2


def v2(group: Path) -> v2_pb2.Metrics:
    metrics = v2_pb2.Metrics()
    metrics.pids.current = _number(group / "pids.current")
    metrics.pids.limit = _number(group / "pids.max")
    _copy(_table(group / "cpu.stat"), metrics.cpu)
    _copy(_table(group / "memory.events"), metrics.memory_events)
    _v2_memory(metrics.memory, group)
    for line in _lines(group / "io.stat"):
        device, *words = line.split()
        major, _, minor = device.partition(":")
        settings = _settings(words)
        numbers = {name: settings.get(name, 0) for name in ("rbytes", "wbytes", "rios", "wios")}
        metrics.io.usage.append(v2_pb2.IOEntry(major=int(major), minor=int(minor), **numbers))
    for file in sorted(group.glob("hugetlb.*.current")):
        size = file.name.split(".")[1]
        maximum = _number(group / f"hugetlb.{size}.max", _UNLIMITED)
        metrics.hugetlb.add(pagesize=size, current=_number(file), max=maximum)
    for entries, name in ((metrics.rdma.current, "rdma.current"), (metrics.rdma.limit, "rdma.max")):
        for device, handles, objects in _rdma(group / name):
            entries.add(device=device, hca_handles=handles, hca_objects=objects)
    return metrics


def _v2_memory(memory: v2_pb2.MemoryStat, group: Path) -> None:
    _copy(_table(group / "memory.stat"), memory)
    memory.usage = _number(group / "memory.current")
    memory.usage_limit = _number(group / "memory.max", _UNLIMITED)
    memory.max_usage = _number(group / "memory.peak")
    memory.swap_usage = _number(group / "memory.swap.current")
    memory.swap_limit = _number(group / "memory.swap.max", _UNLIMITED)
    memory.swap_max_usage = _number(group / "memory.swap.peak")


def _copy(table: Mapping[str, int], into: v2_pb2.CPUStat | v2_pb2.MemoryEvents | v2_pb2.MemoryStat) -> None:
    for name in into.DESCRIPTOR.fields_by_name:
        if name in table:
            setattr(into, name, table[name])

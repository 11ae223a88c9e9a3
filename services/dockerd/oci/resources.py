"""`linux.resources` of a container, for both cgroup versions: the runtime converts v1's terms into v2's.

Checks against the kernel: oci/limits.py. Device rules: oci/devices.py.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from protos import errdefs
from services.dockerd.oci.facts import facts
from services.dockerd.schema.container import Resources, ThrottleDevice

Document = dict[str, Any]

_PERIOD: Final = 100_000
"""Microseconds of a scheduling period that `--cpus` divides."""
_THROTTLES: Final[tuple[tuple[str, Callable[[Resources], list[ThrottleDevice] | None]], ...]] = (
    ("throttleReadBpsDevice", lambda asked: asked.BlkioDeviceReadBps),
    ("throttleWriteBpsDevice", lambda asked: asked.BlkioDeviceWriteBps),
    ("throttleReadIOPSDevice", lambda asked: asked.BlkioDeviceReadIOps),
    ("throttleWriteIOPSDevice", lambda asked: asked.BlkioDeviceWriteIOps),
)


def build(resources: Resources) -> Document:
    """`linux.resources` without devices, for the container's document and for Tasks.Update."""
    document: Document = {}
    for name, part in (
        ("memory", _memory(resources)), ("cpu", _cpu(resources)), ("blockIO", _block_io(resources)),
        ("pids", _pids(resources)),
    ):
        if part:
            document[name] = part
    return document


def _memory(resources: Resources) -> Document:
    memory: Document = {}
    if resources.Memory > 0:
        memory["limit"] = resources.Memory
    if resources.MemoryReservation > 0:
        memory["reservation"] = resources.MemoryReservation
    if resources.MemorySwap > 0 or (resources.MemorySwap == -1 and facts().swap_limit):
        memory["swap"] = resources.MemorySwap
    if resources.MemorySwappiness is not None and resources.MemorySwappiness >= 0:
        memory["swappiness"] = resources.MemorySwappiness
    if resources.OomKillDisable is not None:
        memory["disableOOMKiller"] = resources.OomKillDisable
    return memory


def _cpu(resources: Resources) -> Document:
    if resources.CpuShares < 0:
        raise errdefs.InvalidArgument(f"shares: invalid argument: {resources.CpuShares}")
    cpu: Document = {"shares": resources.CpuShares}
    if resources.NanoCpus > 0:
        cpu |= {"period": _PERIOD, "quota": resources.NanoCpus * _PERIOD // 1_000_000_000}
    for key, value in (
        ("period", resources.CpuPeriod), ("quota", resources.CpuQuota),
        ("realtimePeriod", resources.CpuRealtimePeriod), ("realtimeRuntime", resources.CpuRealtimeRuntime),
        ("cpus", resources.CpusetCpus), ("mems", resources.CpusetMems),
    ):
        if value:
            cpu[key] = value
    return cpu


def _pids(resources: Resources) -> Document:
    if resources.PidsLimit is None:
        return {}
    return {"limit": resources.PidsLimit if resources.PidsLimit > 0 else -1}


def _block_io(resources: Resources) -> Document:
    block: Document = {}
    if resources.BlkioWeight:
        block["weight"] = resources.BlkioWeight
    weights = [{**_numbers(device.Path), "weight": device.Weight} for device in resources.BlkioWeightDevice or ()]
    if weights:
        block["weightDevice"] = weights
    for key, chosen in _THROTTLES:
        rates = _rates(chosen(resources) or ())
        if rates:
            block[key] = rates
    return block


def _rates(devices: Sequence[ThrottleDevice]) -> list[Document]:
    return [{**_numbers(device.Path), "rate": device.Rate} for device in devices]


def _numbers(path: str) -> Document:
    try:
        device = Path(path).stat().st_rdev
    except OSError as error:
        raise errdefs.InvalidArgument(f"stat {path}: {(error.strerror or str(error)).lower()}") from error
    return {"major": os.major(device), "minor": os.minor(device)}

"""Docker's checks of a container's limits, with its texts: against each other (errors) and the kernel (warnings).

A limit that the kernel cannot keep is reset in place, as Docker does, and the user is told.
"""

from collections.abc import Callable, Iterator
from typing import Final

from protos import errdefs
from services.dockerd.oci.facts import Facts, facts, missing, online_cpus
from services.dockerd.schema.container import HostConfig, Resources

_MIN_MEMORY: Final = 6 << 20
_UNSUPPORTED: Final = "or the cgroup is not mounted."


def adapt(host: HostConfig, *, shm_size: int, cgroupns_mode: str, ipc_mode: str = "private") -> None:
    """Fill in the defaults that inspect shows afterwards (before `verify`)."""
    if host.Memory > 0 and host.MemorySwap == 0:
        host.MemorySwap = host.Memory * 2
    host.ShmSize = host.ShmSize or shm_size
    host.IpcMode = host.IpcMode or ipc_mode
    if not host.CgroupnsMode:
        v1 = facts().cgroup_version == 1
        host.CgroupnsMode = "host" if host.Privileged and v1 else usual_cgroupns(cgroupns_mode, facts())
    if host.OomKillDisable is None:
        host.OomKillDisable = False
    if host.PidsLimit is not None and host.PidsLimit <= 0:
        host.PidsLimit = None  # whatever asks for none; an update says so with 0


def usual_cgroupns(asked: str, kernel: Facts) -> str:
    """--default-cgroupns-mode, and what stands for none."""
    return asked or ("private" if kernel.cgroup_version == 2 else "host")


def verify(resources: Resources, *, update: bool = False, kernel: Facts | None = None) -> list[str]:
    """Warnings of the limits; InvalidArgument for impossible ones."""
    kernel = kernel or facts()
    if resources.MemorySwappiness == -1:
        resources.MemorySwappiness = None
    warnings: list[str] = []
    for check in (_memory, _oom_and_pids, _cpu, _cpuset, _block_io):
        warnings += check(resources, kernel, update)
    return warnings


def _refuse(condition: bool, text: str) -> None:
    if condition:
        raise errdefs.InvalidArgument(text)


def _memory(asked: Resources, kernel: Facts, update: bool) -> Iterator[str]:
    _refuse(asked.Memory != 0 and asked.Memory < _MIN_MEMORY, "Minimum memory limit allowed is 6MB")
    if asked.Memory > 0 and not kernel.memory_limit:
        yield f"Your kernel does not support memory limit capabilities {_UNSUPPORTED} Limitation discarded."
        asked.Memory, asked.MemorySwap = 0, -1
    if asked.Memory > 0 and asked.MemorySwap != -1 and not kernel.swap_limit:
        yield f"Your kernel does not support swap limit capabilities {_UNSUPPORTED} Memory limited without swap."
        asked.MemorySwap = -1
    _refuse(
        0 < asked.MemorySwap < asked.Memory, "Minimum memoryswap limit should be larger than memory limit, see usage"
    )
    _refuse(
        asked.Memory == 0 and asked.MemorySwap > 0 and not update,
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    )
    if asked.MemorySwappiness is not None and not kernel.memory_swappiness:
        yield f"Your kernel does not support memory swappiness capabilities {_UNSUPPORTED} Memory swappiness discarded."
        asked.MemorySwappiness = None
    swappiness = asked.MemorySwappiness or 0
    _refuse(not 0 <= swappiness <= 100, f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if asked.MemoryReservation > 0 and not kernel.memory_reservation:
        yield f"Your kernel does not support memory soft limit capabilities {_UNSUPPORTED} Limitation discarded."
        asked.MemoryReservation = 0
    _refuse(0 < asked.MemoryReservation < _MIN_MEMORY, "Minimum memory reservation allowed is 6MB")
    _refuse(
        0 < asked.Memory < asked.MemoryReservation,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )


def _oom_and_pids(asked: Resources, kernel: Facts, _: bool) -> Iterator[str]:
    if asked.OomKillDisable is not None and not kernel.oom_kill_disable:
        if asked.OomKillDisable:
            yield "Your kernel does not support OomKillDisable. OomKillDisable discarded."
        asked.OomKillDisable = None
    if asked.OomKillDisable and asked.Memory == 0:
        yield (
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )
    if asked.PidsLimit is not None and not kernel.pids_limit:
        if asked.PidsLimit > 0:
            yield f"Your kernel does not support PIDs limit capabilities {_UNSUPPORTED} PIDs limit discarded."
        asked.PidsLimit = None


def _cpu(asked: Resources, kernel: Facts, _: bool) -> Iterator[str]:
    nano, cpus = asked.NanoCpus, online_cpus()
    _refuse(nano > 0 and asked.CpuPeriod > 0, "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    _refuse(nano > 0 and asked.CpuQuota > 0, "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    _refuse(
        nano > 0 and not kernel.cpu_cfs,
        "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
    )
    _refuse(
        not 0 <= nano <= cpus * 1_000_000_000,
        f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available",
    )
    if asked.CpuShares > 0 and not kernel.cpu_shares:
        yield f"Your kernel does not support CPU shares {_UNSUPPORTED} Shares discarded."
        asked.CpuShares = 0
    if (asked.CpuPeriod or asked.CpuQuota) and not kernel.cpu_cfs:
        yield "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
        asked.CpuPeriod = asked.CpuQuota = 0
    _refuse(
        asked.CpuPeriod != 0 and not 1000 <= asked.CpuPeriod <= 1_000_000,
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )
    _refuse(0 < asked.CpuQuota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    realtime = asked.CpuRealtimePeriod or asked.CpuRealtimeRuntime
    _refuse(bool(realtime) and not kernel.cpu_realtime, "your kernel does not support CPU real-time scheduler")
    _refuse(
        0 < asked.CpuRealtimePeriod < asked.CpuRealtimeRuntime,
        "cpu real-time runtime cannot be higher than cpu real-time period",
    )
    if asked.CpuPercent > 0:
        yield "linux does not support CPU percent. Percent discarded."
        asked.CpuPercent = 0


def _cpuset(asked: Resources, kernel: Facts, _: bool) -> Iterator[str]:
    if (asked.CpusetCpus or asked.CpusetMems) and not kernel.cpuset:
        yield f"Your kernel does not support cpuset {_UNSUPPORTED} Cpuset discarded."
        asked.CpusetCpus = asked.CpusetMems = ""
    for value, available, kind, things in (
        (asked.CpusetCpus, kernel.cpus, "cpus", "CPUs"),
        (asked.CpusetMems, kernel.mems, "mems", "memory nodes"),
    ):
        try:
            absent = missing(value, available)
        except ValueError as error:
            raise errdefs.InvalidArgument(f"Invalid value {value} for cpuset {kind}: {error}") from error
        _refuse(bool(absent), f"Requested {things} are not available - requested {value}, available: {available}")


_BlockCheck = tuple[str, Callable[[Facts], bool], str]
_BLOCK_LISTS: Final[tuple[_BlockCheck, ...]] = (
    ("BlkioWeightDevice", lambda kernel: kernel.blkio_weight_device,
     "Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."),
    ("BlkioDeviceReadBps", lambda kernel: kernel.blkio_throttle,
     "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded."),
    ("BlkioDeviceWriteBps", lambda kernel: kernel.blkio_throttle,
     "BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded."),
    ("BlkioDeviceReadIOps", lambda kernel: kernel.blkio_throttle,
     "IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded."),
    ("BlkioDeviceWriteIOps", lambda kernel: kernel.blkio_throttle,
     "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded."),
)


def _block_io(asked: Resources, kernel: Facts, _: bool) -> Iterator[str]:
    if asked.BlkioWeight > 0 and not kernel.blkio_weight:
        yield f"Your kernel does not support Block I/O weight {_UNSUPPORTED} Weight discarded."
        asked.BlkioWeight = 0
    _refuse(asked.BlkioWeight != 0 and not 10 <= asked.BlkioWeight <= 1000, "Range of blkio weight is from 10 to 1000")
    _refuse(
        bool(asked.IOMaximumBandwidth or asked.IOMaximumIOps),
        "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
    )
    for name, able, text in _BLOCK_LISTS:
        if getattr(asked, name) and not able(kernel):
            yield f"Your kernel does not support {text}"
            setattr(asked, name, [])

"""What `docker info` shows: the engine's counts, its configuration, and what the kernel offers containers."""

import asyncio
import contextlib
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from protos import proxies
from protos.errdefs import InvalidArgument
from services.dockerd import flags, storage, versions
from services.dockerd.cluster import settings
from services.dockerd.config import Config
from services.dockerd.container.state import Status
from services.dockerd.engine.engine import Engine
from services.dockerd.logger import options
from services.dockerd.metrics import meter
from services.dockerd.network.drivers.bridge import filters
from services.dockerd.network.forwarding import forwards
from services.dockerd.oci import cdi
from services.dockerd.oci.facts import Facts, facts
from services.dockerd.oci.limits import usual_cgroupns
from services.dockerd.registry import mirrors
from services.dockerd.release import VERSION, Version
from services.dockerd.remote import drivers
from services.dockerd.versions import Program

_BRIDGE_NF: Final = (("iptables", 4), ("ip6tables", 6))

INDEX: Final = "https://index.docker.io/v1/"
NETWORK_DRIVERS: Final = ("bridge", "host", "null")


@meter.timed("host_info_functions", "system_info")
async def info(engine: Engine, asked: Version) -> dict[str, Any]:
    """The reply of GET /info."""
    containerd, runc, tini, rows, (devices, problems) = await asyncio.gather(
        versions.containerd(engine.client), versions.runtime(engine.config), versions.init(engine.config),
        drivers.status(engine.client, engine.images.snapshotter), asyncio.to_thread(cdi.discover, engine.config.cdi),
    )
    config = engine.config  # as of now: it may have been reloaded meanwhile
    document = {
        "ID": engine_id(config.data_root),
        **_counts(engine),
        "Driver": storage.driver(engine.images.snapshotter),
        "DriverStatus": rows,
        "Plugins": {
            "Volume": ["local", *engine.plugins.active("VolumeDriver")], "Network": list(NETWORK_DRIVERS),
            "Authorization": list(config.authorization_plugins) or None, "Log": list(options.DRIVERS),
        },
        **_abilities(facts()),
        **_process(engine),
        **_machine(),
        **_settings(config),
        "CgroupDriver": "systemd" if engine.defaults.systemd_cgroup else "cgroupfs",
        "CgroupVersion": str(facts().cgroup_version),
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None,
        },
        "ContainerdCommit": _commit(containerd),
        "RuncCommit": _commit(runc),
        "InitCommit": _commit(tini),
        "SecurityOptions": list(_security(config, facts())),
        "Warnings": [*_warnings(config, facts()), *_loop_files(rows), *(f"CDI: {each}" for each in problems)] or None,
    }
    if asked >= (1, 50):
        document["DiscoveredDevices"] = [{"Source": cdi.DRIVER, "ID": name} for name in sorted(devices)]
    return document | (_recent(config) if asked >= (1, 44) else _old())


def engine_id(data_root: Path) -> str:
    """An id that stays with the data root."""
    path = data_root / "engine-id"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(str(uuid.uuid4()))
        fresh.rename(path)
    return path.read_text().strip()


def _counts(engine: Engine) -> dict[str, Any]:
    states = [container.state.status for container in engine.containers]
    paused = states.count(Status.PAUSED)
    running = states.count(Status.RUNNING) + states.count(Status.RESTARTING)
    return {
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(engine.images.by_id),
    }


def _abilities(kernel: Facts) -> dict[str, bool]:
    return {
        "MemoryLimit": kernel.memory_limit,
        "SwapLimit": kernel.swap_limit,
        "CpuCfsPeriod": kernel.cpu_cfs,
        "CpuCfsQuota": kernel.cpu_cfs,
        "CPUShares": kernel.cpu_shares,
        "CPUSet": kernel.cpuset,
        "PidsLimit": kernel.pids_limit,
        "OomKillDisable": kernel.oom_kill_disable,
        "IPv4Forwarding": forwards(4),
    }


def _process(engine: Engine) -> dict[str, Any]:
    return {
        "Debug": engine.config.debug,
        "NFd": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "NGoroutines": len(asyncio.all_tasks()) + threading.active_count(),
        "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "NEventsListener": engine.events.followers,
    }


def _machine() -> dict[str, Any]:
    release = platform.freedesktop_os_release()
    return {
        "KernelVersion": platform.release(),
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": platform.node(),
    }


def _settings(config: Config) -> dict[str, Any]:
    outward = proxies.told()
    pools = [{"Base": base, "Size": size} for base, size in config.default_address_pools]
    return {
        "DockerRootDir": str(config.data_root),
        "LoggingDriver": config.log_driver,
        "IndexServerAddress": INDEX,
        "RegistryConfig": _registries(config),
        "GenericResources": None,
        "HttpProxy": flags.masked(outward.http),
        "HttpsProxy": flags.masked(outward.https),
        "NoProxy": outward.exempt,
        "Labels": list(config.labels),
        "ExperimentalBuild": False,
        "ServerVersion": VERSION,
        "Runtimes": {name: _runtime(name, config) for name in ("io.containerd.runc.v2", *config.runtimes)},
        "DefaultRuntime": config.default_runtime,
        "LiveRestoreEnabled": config.live_restore,
        "Isolation": "",
        "InitBinary": config.init_path or "docker-init",
        "ProductLicense": "Community Engine",
        **({"DefaultAddressPools": pools} if pools else {}),
        **_cluster(config),
    }


def _registries(config: Config) -> dict[str, Any]:
    networks = [each for each in config.insecure_registries if "/" in each]
    insecure = [each for each in config.insecure_registries if "/" not in each]
    mapped = {"docker.io": list(config.registry_mirrors)} | {name: [] for name in insecure}
    with contextlib.suppress(InvalidArgument):  # a file that has gone bad since it was checked
        for name, registry in mirrors.read(config.registry_config).items():
            mapped.setdefault(name, []).extend(host.url for host in registry.hosts)
    return {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *networks],
        "IndexConfigs": {
            name: {"Name": name, "Mirrors": urls, "Secure": name not in insecure, "Official": name == "docker.io"}
            for name, urls in mapped.items()
        },
        "Mirrors": list(config.registry_mirrors),
    }


def _cluster(config: Config) -> dict[str, str]:
    """Keys that Docker had until 20.10."""
    if not config.cluster_store:
        return {}
    advertised = config.cluster_advertise
    if advertised:
        with contextlib.suppress(InvalidArgument):  # its interface is gone
            advertised = settings.advertised(advertised)
    return {"ClusterStore": config.cluster_store, "ClusterAdvertise": advertised}


def _runtime(name: str, config: Config) -> dict[str, Any]:
    found = config.runtimes.get(name)
    if found is None:
        return {"path": "runc"}
    return found.to_json()


def _commit(program: Program) -> dict[str, str]:
    shown = program.commit or program.version
    return {"ID": shown, "Expected": shown}


def _security(config: Config, kernel: Facts) -> Iterator[str]:
    if kernel.apparmor:
        yield "name=apparmor"
    if kernel.seccomp:
        yield f"name=seccomp,profile={config.seccomp_profile or 'builtin'}"
    if usual_cgroupns(config.default_cgroupns_mode, kernel) == "private":
        yield "name=cgroupns"
    if config.owners:
        yield "name=userns"
    if config.no_new_privileges:
        yield "name=no-new-privileges"


def _loop_files(rows: list[list[str]] | None) -> Iterator[str]:
    """Docker's advice against devicemapper's default."""
    if any(key == "Data loop file" for key, _ in rows or ()):
        yield (
            "WARNING: devicemapper: usage of loopback devices is strongly discouraged for production use.\n"
            "         Use `--storage-opt dm.thinpooldev` to specify a custom block storage device."
        )


def _warnings(config: Config, kernel: Facts) -> Iterator[str]:
    for host in config.hosts:
        if host.startswith("tcp://") and not config.verifies:
            scheme, lack = ("https", "TLS client verification") if config.secure else ("http", "encryption")
            yield (
                f"WARNING: API is accessible on {scheme}://{host.removeprefix('tcp://')} without {lack}.\n"
                "         Access to the remote API is equivalent to root access on the host.\n"
                "         Listen on a unix socket and reach it from afar by ssh, or use --tlsverify."
            )
    lacking = {
        "memory limit": kernel.memory_limit,
        "swap limit": kernel.swap_limit,
        "oom kill disable": kernel.oom_kill_disable or kernel.cgroup_version == 2,
        "cpu cfs quota": kernel.cpu_cfs,
        "cpu cfs period": kernel.cpu_cfs,
        "cpu shares": kernel.cpu_shares,
        "cpuset": kernel.cpuset,
        "pids limit": kernel.pids_limit,
    }
    yield from (f"WARNING: No {name} support" for name, there in lacking.items() if not there)
    if config.cluster_store:
        yield (
            f"WARNING: cluster store {config.cluster_store} is set, but networks across hosts are not there yet: "
            "creating one is refused"
        )
    if not forwards(4):
        yield "WARNING: IPv4 forwarding is disabled"
    yield from (f"WARNING: bridge-nf-call-{name} is disabled" for name, version in _BRIDGE_NF if not filters(version))


def _recent(config: Config) -> dict[str, Any]:
    return {
        "CDISpecDirs": list(config.cdi),
        "FirewallBackend": {"Driver": "iptables"},
        "Containerd": {
            "Address": config.containerd_address,
            "Namespaces": {
                "Containers": config.containerd_namespace, "Plugins": config.containerd_plugins_namespace,
            },
        },
    }


def _old() -> dict[str, Any]:
    """Keys that newer versions have no more."""
    return {
        "KernelMemory": False, "KernelMemoryTCP": False,
        "BridgeNfIptables": filters(4), "BridgeNfIp6tables": filters(6),
    }

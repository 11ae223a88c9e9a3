"""The families of /metrics: Docker's by its names, and ours for each hop. Loaded only with --metrics-addr."""

import os
import platform
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from services.dockerd import info, storage, tree, versions
from services.dockerd.container.state import Status
from services.dockerd.release import BUILD, VERSION

if TYPE_CHECKING:
    from services.dockerd.engine.engine import Engine

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TIMERS: Final = {
    "container_actions": ("The number of seconds it takes to process each container action", ("action",)),
    "network_actions": ("The number of seconds it takes to process each network action", ("action",)),
    "host_info_functions": ("The number of seconds it takes to call functions gathering info", ("function",)),
    "health_check_start_duration": ("The number of seconds it takes to prepare to run health checks", ()),
    "proxy_starts": ("Seconds until a container's docker-proxy forwards", ()),
    "api_requests": ("Seconds from a request's head to the end of its reply", ("method", "resource", "status")),
    "containerd_calls": ("Seconds that calls to docker-containerd take; Tasks/Create starts a shim", ("method",)),
}
_COUNTERS: Final = {
    "events": ("The number of events logged", ()),
    "health_checks": ("The total number of health checks", ()),
    "health_checks_failed": ("The total number of failed health checks", ()),
    "containerd_call_failures": ("Calls to docker-containerd that failed, by the kind of error", ("method", "error")),
    "containerd_restarts": ("How often docker-containerd ended by itself and was started again", ()),
}
_EXPECTED: Final = {
    "container_actions": ("changes", "commit", "create", "delete", "start"),
    "network_actions": ("allocate", "connect", "release"),
    "host_info_functions": ("system_info", "system_version"),
}
"""Label values that are there, as zero, before the first of their kind."""


class Families:
    """A sink of meter.py that can be read as Prometheus' text."""

    def __init__(self, engine: "Engine") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._engine = engine
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._timers = {name: self._timer(name, *about) for name, about in _TIMERS.items()}
        self._counters = {name: self._counter(name, *about) for name, about in _COUNTERS.items()}
        self._subscribers = self._gauge("events_subscribers_total", "The number of current subscribers to events")
        self._states = self._gauge("container_states_containers", "The count of containers in various states", "state")
        self._processes = self._gauge("hop_processes", "The engine's processes by their part", "role")
        self._memory = self._gauge("hop_memory_bytes", "Their memory, shared pages in proportion", "role")
        self._machine()

    def count(self, family: str, *labels: str) -> None:
        counter = self._counters[family]
        (counter.labels(*labels) if labels else counter).inc()

    def seconds(self, family: str, elapsed: float, *labels: str) -> None:
        timer = self._timers[family]
        (timer.labels(*labels) if labels else timer).observe(elapsed)

    def render(self) -> bytes:
        """Prometheus' text of now. In the event loop; `processes` is asked beforehand, in a thread."""
        states = [container.state.status for container in self._engine.containers]
        running = states.count(Status.RUNNING) + states.count(Status.RESTARTING)
        paused = states.count(Status.PAUSED)
        for name, amount in (("running", running), ("paused", paused), ("stopped", len(states) - running - paused)):
            self._states.labels(name).set(amount)
        self._subscribers.set(self._engine.events.followers)
        return generate_latest(self._registry)

    def processes(self) -> None:
        """Look at /proc, which may take long."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        waiting = tree.of(self._engine)
        while waiting:
            node = waiting.pop()
            found[node.role].append(node.pss)
            waiting += node.children
        for role, sizes in found.items():
            self._processes.labels(role).set(len(sizes))
            self._memory.labels(role).set(sum(sizes))

    def _timer(self, name: str, about: str, labels: tuple[str, ...]) -> Histogram:
        timer = Histogram(f"engine_daemon_{name}_seconds", about, labels, buckets=_BUCKETS, registry=self._registry)
        for value in _EXPECTED.get(name, ()):
            timer.labels(value)
        return timer

    def _counter(self, name: str, about: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"engine_daemon_{name}", about, labels, registry=self._registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"engine_daemon_{name}", about, labels, registry=self._registry)

    def _machine(self) -> None:
        """What stays as it is."""
        self._gauge("engine_cpus_cpus", "The number of cpus that the host system of the engine has").set(
            len(os.sched_getaffinity(0)))
        self._gauge("engine_memory_bytes", "The number of bytes of memory that the host system of the engine has").set(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        facts = self._facts()
        about = "The information related to the engine and the OS it is running on"
        self._gauge("engine_info", about, *facts).labels(**facts).set(1)

    def _facts(self) -> dict[str, Any]:
        config, release = self._engine.config, platform.freedesktop_os_release()
        return {
            "version": VERSION, "commit": BUILD, "architecture": versions.arch(),
            "graphdriver": storage.driver(self._engine.images.snapshotter), "kernel": platform.release(),
            "os": release.get("PRETTY_NAME", "Linux"), "os_type": "linux", "os_version": release.get("VERSION_ID", ""),
            "daemon_id": info.engine_id(config.data_root),
        }

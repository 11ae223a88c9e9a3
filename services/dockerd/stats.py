"""The numbers of `docker stats`: containerd's cgroup metrics, the container's interfaces and the host's clock as Docker's JSON."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.any_pb2 import Any as Packed


@dataclass(frozen=True, slots=True)
class Subject:
    """The container that is measured."""

    id: str
    name: str
    pid: int
    host_network: bool = False


def sample(subject: Subject, metrics: Packed | None, previous: dict[str, Any] | None) -> dict[str, Any]:
    """One StatsResponse; `metrics` None is a container that does not run."""
    raise NotImplementedError

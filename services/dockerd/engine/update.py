"""`update`: other limits and another restart policy for a container, at once if it runs."""

from typing import Any

from protos import errdefs
from services.dockerd.container import validate
from services.dockerd.container.store import readable
from services.dockerd.engine import notify, tasks
from services.dockerd.engine.engine import Engine
from services.dockerd.oci import limits, resources
from services.dockerd.schema.container import HostConfig, Resources


async def update(engine: Engine, reference: str, changes: dict[str, Any]) -> list[str]:
    """Apply the keys of Resources and RestartPolicy that are given and not zero; warnings."""
    container = engine.containers.get(reference)
    async with container.lock:
        if container.state.status.value in ("removing", "dead"):
            raise errdefs.Conflict('container is marked for removal and cannot be "update"')
        readable(container)
        merged = merge(container.host, changes)
        if merged.RestartPolicy != container.host.RestartPolicy:
            validate.restart(merged.RestartPolicy)
            if container.host.AutoRemove and merged.RestartPolicy.Name not in ("", "no"):
                raise errdefs.InvalidArgument("Restart policy cannot be updated because AutoRemove is enabled for the "
                                              "container")
        warnings = limits.verify(merged, update=True)
        if container.state.running:
            await tasks.update(engine, container.id, resources.build(merged))
        container.host = merged
        engine.store.save_host(container)
        engine.containers.refresh(container)
    notify.container(engine, container, "update")
    return warnings


def merge(host: HostConfig, changes: dict[str, Any]) -> HostConfig:
    """`host` with what is set in `changes`; InvalidArgument for what excludes one another (pure)."""
    given = {key: value for key, value in changes.items()
             if key in Resources.model_fields and value not in (None, 0, "", [], {})}
    if given.get("NanoCpus") and (host.CpuPeriod or host.CpuQuota):
        raise errdefs.Conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota and Period have already "
                               "been set")
    if (given.get("CpuPeriod") or given.get("CpuQuota")) and host.NanoCpus:
        raise errdefs.Conflict("Conflicting options: CPU Period and Quota cannot be updated as NanoCPUs has already "
                               "been set")
    if given.get("Memory", 0) > host.MemorySwap > 0 and not given.get("MemorySwap"):
        raise errdefs.Conflict("Memory limit should be smaller than already set memoryswap limit, update the "
                               "memoryswap at the same time")
    policy = changes.get("RestartPolicy") or {}
    document = host.model_dump() | given
    if policy.get("Name"):
        document["RestartPolicy"] = policy
    return HostConfig.model_validate(document)

"""SIGHUP: the configuration read again, and what of it is live put in the place of what was.

The engine holds one frozen Config. A reload makes another and swaps it, or changes nothing at all; whoever depends on
a live option asks `engine.config` for it when needed.
"""

import dataclasses
import logging
import platform
from collections.abc import Callable
from typing import Any, Final

import orjson

from protos import errdefs
from protos import log as logs
from services.dockerd import flags, requirements, rules
from services.dockerd.config import Config
from services.dockerd.engine.engine import Engine
from services.dockerd.info import engine_id
from services.dockerd.oci.facts import facts
from services.dockerd.oci.limits import usual_cgroupns
from services.dockerd.options import OPTIONS

log = logging.getLogger("reload")

LIVE: Final = tuple(option.field for option in OPTIONS if option.live)


def reload(
    engine: Engine, read: Callable[[], Config], check: Callable[[Config], None] = requirements.check
) -> None:
    """Take over what `read` gives; one that cannot be, or that `check` refuses, is logged, and nothing has changed."""
    try:
        wanted = read()
        merged = dataclasses.replace(engine.config, **{name: getattr(wanted, name) for name in LIVE})
        rules.check(merged)
        check(merged)
        for name in merged.authorization_plugins:
            engine.plugins.check(name)
    except (errdefs.EngineError, OSError) as error:
        log.error("configuration not reloaded, nothing has changed error=%s", error)
        return
    before, engine.config = engine.config, merged
    logs.set_level(merged.level)
    attributes = {"name": platform.node(), **describe(merged)}
    engine.events.publish("daemon", "reload", engine_id(merged.data_root), attributes)
    log.info("configuration reloaded changed=%s", _difference(before, merged) or "nothing")
    if ignored := _difference(merged, wanted):
        log.warning("only a restart makes these effective: %s", ignored)


def _difference(before: Config, after: Config) -> str:
    names = [each.name for each in dataclasses.fields(Config)]
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in names]
    changed = [each for each in pairs if each[1] != each[2]]
    return ", ".join(
        f"{name.replace('_', '-')}: {_shown(name, old)} -> {_shown(name, new)}" for name, old, new in changed
    )


def _shown(name: str, value: Any) -> str:
    if name == "runtimes":
        return f"[{_runtimes(value)}]"
    return flags.masked(str(value)) if name.endswith("_proxy") else flags.show(value)


def describe(config: Config) -> dict[str, str]:
    """What can be reloaded, under the names and in the forms of Docker's event."""
    return {
        "allow-nondistributable-artifacts": "[]",
        "authorization-plugins": _list(config.authorization_plugins),
        "cluster-advertise": config.cluster_advertise,
        "cluster-store": config.cluster_store,
        "cluster-store-opts": orjson.dumps(dict(config.cluster_store_opts)).decode(),
        "debug": flags.show(config.debug),
        "default-cgroupns-mode": usual_cgroupns(config.default_cgroupns_mode, facts()),
        "default-ipc-mode": config.default_ipc_mode,
        "default-runtime": config.default_runtime,
        "default-shm-size": str(config.default_shm_size),
        "features": flags.show(dict(config.features)),
        "insecure-registries": _list(config.insecure_registries),
        "labels": _list(config.labels),
        "live-restore": flags.show(config.live_restore),
        "max-concurrent-downloads": str(config.max_concurrent_downloads),
        "max-concurrent-uploads": str(config.max_concurrent_uploads),
        "max-download-attempts": str(config.max_download_attempts),
        "registry-mirrors": _list(config.registry_mirrors),
        "runtimes": _runtimes(config.runtimes),
        "shutdown-timeout": str(config.shutdown_timeout),
    }


def _list(values: tuple[str, ...]) -> str:
    return orjson.dumps(list(values)).decode()


def _runtimes(runtimes: Any) -> str:
    return " ".join(
        f"{name}:{{{' '.join((each.path or each.type, *each.args))}}}" for name, each in sorted(runtimes.items())
    )

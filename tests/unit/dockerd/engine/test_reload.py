from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.config import Config, Runtime
from services.dockerd.engine import reload
from services.dockerd.engine.engine import Engine


class Journal:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, str]]] = []

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> bool:
        self.told.append((kind, action, dict(attributes)))
        return True


class Bare:
    """What of an Engine a reload touches."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.events = Journal()


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(Config(data_root=tmp_path, labels=("a=1",)))


def take(bare: Bare, read: Callable[[], Config]) -> None:
    """As on a machine that has everything."""
    reload.reload(cast(Engine, bare), read, lambda config: None)


def test_live_options_are_swapped_as_a_whole(bare: Bare) -> None:
    before = bare.config
    wanted = replace(before, labels=("b=2",), debug=True, shutdown_timeout=3, icc=False)
    take(bare, lambda: wanted)
    assert bare.config == replace(before, labels=("b=2",), debug=True, shutdown_timeout=3), "icc takes a restart"
    ((kind, action, attributes),) = bare.events.told
    assert (kind, action, attributes["labels"], attributes["debug"]) == ("daemon", "reload", '["b=2"]', "true")
    assert attributes["default-cgroupns-mode"] in ("private", "host"), "what the machine's own is"


def test_what_cannot_be_changes_nothing(bare: Bare) -> None:
    before = bare.config

    def unreadable() -> Config:
        raise InvalidArgument("invalid JSON")

    take(bare, unreadable)
    take(bare, lambda: replace(before, labels=("x=1",), default_runtime="gone"))
    assert bare.config is before and not bare.events.told


def test_the_event_has_dockers_forms() -> None:
    runtimes = {"runc": Runtime("runc"), "x": Runtime("/x", ("-a", "-b")), "k": Runtime(type="io.k.v1")}
    given: dict[str, Any] = {
        "runtimes": runtimes, "features": {"b": True, "a": False}, "cluster_store_opts": {"kv.path": "p"},
        "insecure_registries": ("r:1",),
    }
    told = reload.describe(Config(**given))
    assert told["runtimes"] == "k:{io.k.v1} runc:{runc} x:{/x -a -b}"
    assert told["features"] == "map[a:false b:true]"
    assert told["cluster-store-opts"] == '{"kv.path":"p"}'
    assert told["insecure-registries"] == '["r:1"]' and told["registry-mirrors"] == "[]"

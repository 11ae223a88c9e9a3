"""The networks there are: the three predefined ones and the user's, found by name or id, kept in one file."""

import contextlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from protos.errdefs import Conflict, InvalidArgument, NotFound
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.drivers import options

log = logging.getLogger("network")

PREDEFINED: Final = {"bridge": "bridge", "host": "host", "none": "null"}
"""Name to driver."""
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@dataclass(slots=True)
class Network:
    name: str
    driver: str
    id: str = field(default_factory=lambda: secrets.token_hex(32))
    created: int = field(default_factory=time.time_ns)
    v4: Addressing | None = None
    v6: Addressing | None = None
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    given: bool = False
    """Its bridge was there before it: nothing of that is changed, and it stays when the network goes."""

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def addressings(self) -> list[Addressing]:
        """Of the families it has, IPv4 first."""
        return [each for each in (self.v4, self.v6) if each]

    def of(self, version: int) -> Addressing | None:
        return self.v4 if version == 4 else self.v6

    @property
    def link(self) -> str:
        """The bridge's name."""
        return self.options.get(options.LINK) or f"br-{self.id[:12]}"

    @property
    def icc(self) -> bool:
        """Its containers may talk to one another."""
        return options.flag(self.options, options.ICC, True)

    def mode(self, version: int) -> str:
        """How its containers reach the world, and are reached, in one family."""
        return options.mode(self.options, version)

    def open_pools(self) -> None:
        for each in self.addressings:
            each.open_pool(f"{self.name} ({self.id[:12]})")

    def to_json(self) -> dict[str, Any]:
        document = {each.name: getattr(self, each.name) for each in fields(self)}
        return document | {f"v{each.version}": each.to_json() for each in self.addressings}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Network":
        document = _current(document)
        families = {name: Addressing.from_json(document[name]) for name in ("v4", "v6") if document[name]}
        return cls(**{**document, **families})


def _current(document: dict[str, Any]) -> dict[str, Any]:
    """A document of the days when networks had IPv4 alone, as it is written now."""
    if "subnet" not in document:
        return document
    old = {name: document[name] for name in ("subnet", "gateway", "ip_range", "auxiliary")}
    rest = {name: value for name, value in document.items() if name not in old}
    return {**rest, "v4": old if old["subnet"] else None, "v6": None}


class Networks:
    """All networks, in the order they were made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_id: dict[str, Network] = {}
        self._leaving: dict[str, Network] = {}

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._by_id.values()))

    def by_id(self, network_id: str) -> Network | None:
        return self._by_id.get(network_id)

    def get(self, reference: str) -> Network:
        """By id, name, or the beginning of an id that fits one network only."""
        if found := self._by_id.get(reference):
            return found
        named = [each for each in self if each.name == reference]
        if named:
            return named[0]
        started = [each for each in self if reference and each.id.startswith(reference)]
        if len(started) > 1:
            raise InvalidArgument(f"network {reference} is ambiguous ({len(started)} matches found based on ID prefix)")
        if not started:
            raise NotFound(f"network {reference} not found")
        return started[0]

    def add(self, network: Network) -> None:
        if not NAME.fullmatch(network.name):
            raise InvalidArgument(f"invalid network name: {network.name!r} must match {NAME.pattern}")
        if any(each.name == network.name for each in self):
            raise Conflict(f"network with name {network.name} already exists")
        self._by_id[network.id] = network
        try:
            self._save()
        except OSError:
            del self._by_id[network.id]
            raise

    @contextlib.contextmanager
    def removing(self, network: Network) -> Iterator[None]:
        """Nobody finds it any more. It stays on file until all that was made for it is gone: a dockerd that is killed
        meanwhile leaves nothing that the next one does not know. After an error it is back."""
        self._leaving[network.id] = self._by_id.pop(network.id)
        try:
            yield
        except BaseException:
            self._by_id[network.id] = self._leaving.pop(network.id)
            raise
        del self._leaving[network.id]
        self._save()

    def load(self) -> None:
        """Read the file and add what is predefined and missing. A file that makes no sense is put aside."""
        try:
            found = [Network.from_json(document) for document in json.loads(self._path.read_text())]
        except FileNotFoundError:
            found = []
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_suffix(".corrupt")
            log.error("networks cannot be read, starting with none path=%s kept=%s error=%s", self._path, aside, error)
            self._path.rename(aside)
            found = []
        names = {each.name for each in found}
        found += [Network(name, driver) for name, driver in PREDEFINED.items() if name not in names]
        self._by_id = {each.id: each for each in found}
        if not names.issuperset(PREDEFINED):
            self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        with draft.open("w") as file:
            json.dump([each.to_json() for each in (*self, *self._leaving.values())], file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._path)

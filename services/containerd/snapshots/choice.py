"""Which storage drivers are served, and which is the one in use: as told, else the one used before, else the first that
works here. Docker's rule.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protos import errdefs
from services.containerd.snapshots import options
from services.containerd.snapshots.aufs import Aufs
from services.containerd.snapshots.btrfs import Btrfs
from services.containerd.snapshots.devicemapper.driver import DeviceMapper
from services.containerd.snapshots.driver import Driver
from services.containerd.snapshots.native import Native
from services.containerd.snapshots.overlay import Overlay
from services.containerd.snapshots.single import Single

log = logging.getLogger("snapshots")

DRIVERS: Final[tuple[type[Driver], ...]] = (Overlay, Btrfs, Native, Aufs, Single, DeviceMapper)
_UNASKED: Final = (Overlay, Btrfs, Native)
"""What may be chosen where nothing was, the best first: the others live on for the data roots that have them."""
_FAILED: Final = "error initializing graphdriver: "


@dataclass
class Choice:
    drivers: list[Driver] = field(default_factory=list)
    """Those that are served, the one in use first."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why others are not, by name."""


def choose(root: Path, scratch: Path, told: str, texts: Sequence[str], used: Collection[str]) -> Choice:
    """Drivers below `root`, not opened yet; `texts` are options of the one in use, `used` those that have snapshots.

    Errors are in Docker's words.
    """
    try:
        kind = _named(told) if told else _prior(root, used) or _working(root, scratch)
        given = options.parse(texts)
        chosen = kind(root / kind.name, given)
        if reason := chosen.refusal(scratch):
            prior = "" if told else "prior storage driver "
            raise errdefs.FailedPrecondition(f"driver not supported: {prior}{kind.docker}: {reason}")
    except (errdefs.InvalidArgument, errdefs.FailedPrecondition) as error:
        raise type(error)(f"{_FAILED}{error}") from error
    log.info("storage driver name=%s docker=%s", kind.name, kind.docker)
    if others := sorted(set(used) - {kind.name}):
        log.warning("snapshots of other storage drivers are there too, and kept names=%s", ",".join(others))
    choice = Choice([chosen])
    for other in DRIVERS:
        if other is not kind:
            _add(choice, other(root / other.name), scratch, used)
    return choice


def _add(choice: Choice, driver: Driver, scratch: Path, used: Collection[str]) -> None:
    lazy = driver.lazy and driver.name not in used
    reason = "not configured: choose it by --snapshotter" if lazy else driver.refusal(scratch)
    if reason:
        log.debug("snapshotter left out name=%s reason=%s", driver.name, reason)
        choice.refused[driver.name] = reason
    else:
        choice.drivers.append(driver)


def _named(name: str) -> type[Driver]:
    for kind in DRIVERS:
        if kind.name == name:
            return kind
    raise errdefs.InvalidArgument(f"driver not supported: {name}")


def _prior(root: Path, used: Collection[str]) -> type[Driver] | None:
    """The driver of the snapshots that are there."""
    found = [kind for kind in DRIVERS if kind.name in used]
    if len(found) > 1:
        names = ", ".join(kind.docker for kind in found)
        raise errdefs.InvalidArgument(
            f"{root} contains several valid graphdrivers: {names}; cleanup or explicitly choose storage driver"
            " (-s <DRIVER>)"
        )
    return found[0] if found else None


def _working(root: Path, scratch: Path) -> type[Driver]:
    for kind in _UNASKED:
        if not kind(root / kind.name).refusal(scratch):
            return kind
    raise errdefs.FailedPrecondition("no supported storage driver found")

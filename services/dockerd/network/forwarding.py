"""IP forwarding of the host: switched on when it is needed, and back when we switched it on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

log = logging.getLogger("network")

SWITCHES: Final = {
    4: (Path("/proc/sys/net/ipv4/ip_forward"),),
    6: (Path("/proc/sys/net/ipv6/conf/default/forwarding"), Path("/proc/sys/net/ipv6/conf/all/forwarding")),
}
"""By family, in the order of switching on."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Forwarding:
    """`mark` is a file that says which changes are ours: it outlives a killed dockerd, and names the boot it is of."""

    def __init__(self, mark: Path, switches: Sequence[Path] = SWITCHES[4]) -> None:
        self._mark = mark
        self._switches = switches

    def enable(self) -> bool:
        """True if this has changed the host, which then needs the FORWARD policy DROP, as with Docker: without it the
        host would route for everybody."""
        off = [each for each in self._switches if each.exists() and each.read_text().strip() != "1"]
        before = self._ours()
        if not off:
            return bool(before)
        changed = [str(each) for each in self._switches if each in off or each in before]
        self._mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark.write_text("\n".join([BOOT_ID.read_text().strip(), *changed]))
        for each in off:
            each.write_text("1")
            log.info("%s switched on; it is switched off again at a graceful stop", each)
        return True

    def restore(self) -> bool:
        """True if there was a change of ours to take back."""
        ours = self._ours()
        for each in reversed(ours):
            each.write_text("0")
        self._mark.unlink(missing_ok=True)
        return bool(ours)

    def _ours(self) -> list[Path]:
        try:
            boot, *names = self._mark.read_text().splitlines()
        except (FileNotFoundError, ValueError):
            return []
        return [each for each in self._switches if str(each) in names] if boot == BOOT_ID.read_text().strip() else []


def forwards(version: int) -> bool:
    """Whether the host passes on what is not for itself."""
    try:
        return SWITCHES[version][-1].read_text().strip() == "1"
    except OSError:
        return False

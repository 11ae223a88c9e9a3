"""IP forwarding of the host: switched on when it is needed, and back when we switched it on."""

import logging
from pathlib import Path
from typing import Final

log = logging.getLogger("network")

IP_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Forwarding:
    """`mark` is a file that says that the change is ours: it outlives a killed dockerd, and names the boot it is of."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def enable(self) -> bool:
        """True if this has changed the host, which then needs the FORWARD policy DROP, as with Docker: without it the
        host would route for everybody."""
        if IP_FORWARD.read_text().strip() == "1":
            return self._is_ours()
        self._mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark.write_text(BOOT_ID.read_text())
        IP_FORWARD.write_text("1")
        log.info("net.ipv4.ip_forward switched on; it is switched off again at a graceful stop")
        return True

    def restore(self) -> bool:
        """True if there was a change of ours to take back."""
        ours = self._is_ours()
        if ours:
            IP_FORWARD.write_text("0")
        self._mark.unlink(missing_ok=True)
        return ours

    def _is_ours(self) -> bool:
        try:
            return self._mark.read_text() == BOOT_ID.read_text()
        except FileNotFoundError:
            return False

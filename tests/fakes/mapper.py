"""Device-mapper with one thin pool, in memory: it outlives the driver, and may kill it at any call."""

import errno
import os
import uuid
from pathlib import Path

from services.containerd.snapshots.devicemapper import ioctl
from services.containerd.snapshots.devicemapper.ioctl import Reply, Target

UUID = uuid.UUID(int=7)


class Crash(BaseException):
    """The driver's process ends here."""


class FakeMapper:
    """`fuse` calls that change something go well; the next one kills, before or (`late`) after it has its effect."""

    def __init__(self, nodes: Path) -> None:
        self.nodes = nodes
        self.transaction = 0
        self.thin: set[int] = set()
        self.tables: dict[str, Target] = {}
        self.suspended: set[str] = set()
        self.open: set[str] = set()
        self.fuse = -1
        self.late = False
        self.data_used = 0
        self.said: list[str] = []

    def _burn(self) -> bool:
        """Whether this call is the last."""
        if self.fuse < 0:
            return False
        self.fuse -= 1
        if self.fuse >= 0:
            return False
        if not self.late:
            raise Crash
        return True

    def node(self, name: str) -> Path:
        path = self.nodes / name
        if name in self.tables:
            path.write_bytes(bytes(1024 + 0x68) + UUID.bytes)
        return path

    def version(self) -> tuple[int, int, int]:
        return 4, 47, 0

    def status(self, name: str) -> Reply | None:
        if name not in self.tables:
            return None
        flags = ioctl.ACTIVE_PRESENT | (ioctl.SUSPEND if name in self.suspended else 0)
        return Reply((4, 47, 0), flags, int(name in self.open), (253, sorted(self.tables).index(name)), ())

    def table(self, name: str) -> Target:
        return self.tables[name]

    def report(self, name: str) -> Target:
        return Target(1, "thin-pool", f"{self.transaction} 10/1000 {self.data_used}/1000 - rw - - - 1024")

    def activate(self, name: str, table: Target) -> None:
        last = self._burn()
        if table.kind == "thin" and int(table.text.split()[1]) not in self.thin:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), name)
        self.tables[name] = table
        self._end(last)

    def suspend(self, name: str) -> None:
        last = self._burn()
        self.suspended.add(name)
        self._end(last)

    def resume(self, name: str) -> None:
        last = self._burn()
        self.suspended.discard(name)
        self._end(last)

    def message(self, name: str, text: str) -> None:
        last = self._burn()
        self.said.append(text)
        verb, *words = text.split()
        numbers = [int(word) for word in words]
        if verb == "create_snap":
            self._expect(numbers[0] not in self.thin, errno.EEXIST)
            self._expect(numbers[1] in self.thin, errno.ENODATA)
            self.thin.add(numbers[0])
        elif verb == "set_transaction_id":
            self._expect(numbers[0] == self.transaction, errno.EINVAL)
            self.transaction = numbers[1]
        elif verb == "delete":
            self._expect(numbers[0] in self.thin, errno.ENODATA)
            busy = [name for name, table in self.tables.items() if table.text.split()[1:2] == [str(numbers[0])]]
            self._expect(not busy, errno.EBUSY)
            self.thin.discard(numbers[0])
        self._end(last)

    def remove(self, name: str, *, deferred: bool = False) -> None:
        last = self._burn()
        self._expect(name not in self.open or deferred, errno.EBUSY)
        if name not in self.open:
            self.tables.pop(name, None)
            self.suspended.discard(name)
        self._end(last)

    def _expect(self, truth: bool, number: int) -> None:
        if not truth:
            raise OSError(number, os.strerror(number))

    def _end(self, last: bool) -> None:
        if last:
            raise Crash

"""Copy-up: an empty volume is filled with what the image has at the place where it is mounted."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.dockerd import beneath
from services.dockerd.archive import walk
from services.dockerd.archive.extract import Extractor
from services.dockerd.beneath import closing


@dataclass(frozen=True, slots=True)
class Source:
    """The directory `destination` beneath the directory descriptor `root`, if there is one."""

    root: int
    destination: str

    def wanted(self, volume: str) -> bool:
        """Whether the directory `volume` is to be filled: it is empty, and here is something to fill it with."""
        with self._open() as source:
            return source >= 0 and not any(Path(volume).iterdir())

    def fill(self, volume: str) -> None:
        """Copy everything into `volume`, over what an earlier try has left there.

        Owner, mode, times, attributes, hard links and devices are kept; the volume's own directory takes the owner and
        mode of the image's.
        """
        with self._open() as source:
            if source < 0:
                return
            with closing(os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as target:
                _copy(source, target)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """Its descriptor, or -1."""
        try:
            source = beneath.open_in(self.root, self.destination, os.O_PATH | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            yield -1
            return
        with closing(source):
            yield source


def _copy(source: int, target: int) -> None:
    entries = walk.Walk(walk.everything, precise=True).entries(source, b".", b".")
    Extractor(target, "", keep=walk.everything).apply(entries)
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    with contextlib.suppress(OSError):
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

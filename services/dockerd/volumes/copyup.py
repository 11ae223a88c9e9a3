"""Copy-up: an empty volume is filled with what the image has at the place where it is mounted."""

import contextlib
import os
import stat

from services.dockerd import beneath
from services.dockerd.archive import walk
from services.dockerd.archive.extract import Extractor
from services.dockerd.beneath import closing


def _names(directory: int) -> list[str]:
    return os.listdir(directory)


def fill(root: int, destination: str, volume: str) -> bool:
    """Copy the directory `destination` beneath `root` into `volume`; False where there is none or the volume has files.

    Owner, mode, times, attributes, hard links and devices are kept; the volume's own directory takes the owner and mode
    of the image's.
    """
    try:
        source = beneath.open_in(root, destination, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with closing(source), closing(os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as target:
        status = os.fstat(source)
        if not stat.S_ISDIR(status.st_mode) or _names(target):
            return False
        entries = walk.Walk(walk.everything, precise=True).entries(source, b".", b".")
        Extractor(target, "", keep=walk.everything).apply(entries)
        os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        with contextlib.suppress(OSError):
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return True

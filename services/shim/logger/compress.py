"""Compresses a log file that was turned over, in a process of its own.

Docker's readers look for the time of its last line in the header's extra field.
"""

import json
import os
import struct
from pathlib import Path
from typing import Final

_CHUNK: Final = 256 * 1024
_FEXTRA: Final = 4


def compress(path: Path, last: str) -> None:
    """Make `path`.gz of `path`, which goes; at no moment is there neither."""
    import zlib  # in the child alone; Python's own, which is there whatever becomes of our installation

    draft = path.with_name(path.name + ".gz.tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
    with path.open("rb") as source, os.fdopen(fd, "wb") as target:
        target.write(_header(last))
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum = size = 0
        while chunk := source.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
            target.write(packer.compress(chunk))
        target.write(packer.flush())
        target.write(struct.pack("<II", checksum, size & 0xFFFFFFFF))
    draft.rename(path.with_name(path.name + ".gz"))
    path.unlink()


def _header(last: str) -> bytes:
    extra = json.dumps({"lastTime": last}, separators=(",", ":")).encode()
    return struct.pack("<4BIBBH", 0x1F, 0x8B, 8, _FEXTRA, 0, 0, 255, len(extra)) + extra

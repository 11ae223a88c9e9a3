"""Entries as a tar stream, in chunks worth sending."""

from collections.abc import Iterable, Iterator

from protos import tar
from services.dockerd.archive.content import CHUNK, Entry


def write(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive."""
    pending = bytearray()
    for entry in entries:
        header = entry.header
        pending += tar.encode(header)
        if entry.content is not None:
            for chunk in entry.content.chunks():
                pending += chunk
                if len(pending) >= CHUNK:
                    yield bytes(pending)
                    pending.clear()
            pending += bytes(header.padding)
        if len(pending) >= CHUNK:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending) + bytes(2 * tar.BLOCK)

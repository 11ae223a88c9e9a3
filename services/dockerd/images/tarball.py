"""An image archive as it arrives: its entries in order, each with the bytes still to be read."""

from collections.abc import AsyncIterator

from protos import tar
from protos.errdefs import InvalidArgument
from services.dockerd.images.codec import Reader


async def entries(reader: Reader) -> AsyncIterator[tar.Header]:
    """Headers of a tar stream. The caller reads exactly `header.size` bytes before it asks for the next."""
    following: dict[str, bytes] = {}
    long: dict[str, bytes] = {}  # GNU's names win over pax's, as in Docker
    try:
        while (header := tar.parse(await _block(reader))) is not None:
            if header.is_extension:
                data = await _extension(reader, header)
                if header.type == tar.PAX:
                    following = tar.pax_records(data)
                elif header.type != tar.PAX_GLOBAL:
                    key = "path" if header.type == tar.GNU_LONG_NAME else "linkpath"
                    long[key] = data.partition(b"\0")[0]
                continue
            header = tar.extended(header, following | long)
            following, long = {}, {}
            yield header
            await reader.exactly(header.padding)
    except tar.TarError as error:
        raise InvalidArgument(f"archive/tar: invalid tar header: {error}") from error


async def _block(reader: Reader) -> bytes:
    block = await reader.exactly(tar.BLOCK)
    return block or bytes(tar.BLOCK)  # an archive without its end blocks


async def _extension(reader: Reader, header: tar.Header) -> bytes:
    if header.size > tar.LONGEST_EXTENSION:
        raise tar.TarError(f"extension of {header.size} bytes is too long")
    data = await reader.exactly(header.size)
    await reader.exactly(header.padding)
    return data

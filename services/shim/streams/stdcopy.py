"""Docker's multiplexed stream: each piece of output behind eight bytes, its stream's number and its length. Pure."""

import struct
from typing import Final

NUMBERS: Final = {"stdout": 1, "stderr": 2}
_HEADER: Final = struct.Struct(">BxxxI")


def header(stream: str, size: int) -> bytes:
    return _HEADER.pack(NUMBERS[stream], size)

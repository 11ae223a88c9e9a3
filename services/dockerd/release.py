"""What this engine calls itself, and the versions of the API that it speaks."""

from typing import Final

VERSION: Final = "28.3.0+py0.1.0"
"""The Docker release whose API this is, as clients gate on it, and our own behind the plus."""

BUILD: Final = "unknown"

Version = tuple[int, int]
"""An API version, as (1, 47); compares as it should."""

NEWEST: Final[Version] = (1, 51)
OLDEST: Final[Version] = (1, 24)

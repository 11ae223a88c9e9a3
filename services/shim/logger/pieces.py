"""What belongs together of a line that is longer than a record."""

import os
from dataclasses import dataclass

from services.shim.logger.lines import Block


@dataclass(frozen=True, slots=True)
class Piece:
    """`ordinal` counts from 1; `last` is the one that ends the line."""

    id: str
    ordinal: int
    last: bool


class Pieces:
    """Follows one stream's blocks."""

    def __init__(self) -> None:
        self._id = ""
        self._ordinal = 0

    def next(self, block: Block) -> Piece | None:
        """None for whole lines. The block that ends a line in pieces holds nothing else (see Lines)."""
        if not block.partial and not self._id:
            return None
        self._id = self._id or os.urandom(32).hex()
        self._ordinal += 1
        piece = Piece(self._id, self._ordinal, not block.partial)
        if piece.last:
            self._id, self._ordinal = "", 0
        return piece

"""Cuts a stream of bytes into what Docker logs: whole lines, and pieces of 16 KiB of a line that is longer. Pure.

Lines that arrive together stay together in a block, so that they are encoded and written at once.
"""

from dataclasses import dataclass
from typing import Final

LIMIT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, each with its newline; or, `partial`, a piece of one without. `since` is its line's first moment."""

    data: bytes
    since: int
    partial: bool = False


class Lines:
    """A line's pieces carry the time of its first piece, and so does its end, which comes as a line."""

    __slots__ = ("_since", "pending")

    def __init__(self) -> None:
        self.pending = b""
        self._since: int | None = None

    def feed(self, data: bytes, now: int) -> list[Block]:
        data = self.pending + data
        blocks: list[Block] = []
        position = 0
        while True:
            position = self._lines(blocks, data, position, now)
            if len(data) - position < LIMIT:
                break
            self._since = self._since or now
            blocks.append(Block(data[position : position + LIMIT], self._since, partial=True))
            position += LIMIT
        self.pending = data[position:]
        return blocks

    def _lines(self, blocks: list[Block], data: bytes, position: int, now: int) -> int:
        """The end of a line in pieces, then as many lines as there are, each found within the limit."""
        if self._since is not None:
            newline = data.find(b"\n", position, position + LIMIT)
            if newline < 0:
                return position
            blocks.append(Block(data[position : newline + 1], self._since))
            self._since, position = None, newline + 1
        start = position
        while (newline := data.rfind(b"\n", position, position + LIMIT)) >= 0:
            position = newline + 1
        if position > start:
            blocks.append(Block(data[start:position], now))
        return position

    def end(self, now: int) -> list[Block]:
        """The stream has ended: what is left of it is a piece."""
        data, self.pending = self.pending, b""
        since, self._since = self._since or now, None
        return [Block(data, since, partial=True)] if data else []

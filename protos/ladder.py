"""Walks of directory trees that somebody else may be changing: of any depth, on few descriptors, without recursion."""

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from protos import errdefs

MAX_PATH: Final = 1 << 16
"""Bytes of a name in a tree beyond which nothing is packed: far more than any program takes."""
_HELD: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RUNGS: Final = 64
"""Directories that a ladder holds open."""

T = TypeVar("T")


class Ladder:
    """Directories beneath each other, for a walk of any depth: those far above are closed, and found again by `..`.

    Links are not followed, and nothing is taken for a directory that it was before without being the same.
    """

    def __init__(self, top: int | str | os.PathLike[str]) -> None:
        """A descriptor stays the caller's; a path is trusted."""
        first = os.dup(top) if isinstance(top, int) else os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._rungs: list[int | tuple[int, int]] = [first]

    @property
    def lowest(self) -> int:
        """An O_PATH descriptor, not to be closed; Aborted where a move has cut off the way back to it."""
        rung = self._rungs[-1]
        if not isinstance(rung, int):
            raise errdefs.Aborted("a directory was moved while the tree that it is in was read")
        return rung

    def path(self, name: str) -> str:
        """A path by which the kernel reaches a name in the lowest directory."""
        return f"/proc/self/fd/{self.lowest}/{name}"

    @contextlib.contextmanager
    def down(self, name: str) -> Iterator[Self | None]:
        """Within, the directory of that name is the lowest; None where there is no such directory."""
        try:
            self._rungs.append(os.open(name, _HELD, dir_fd=self.lowest))
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        far = self._rungs[-_RUNGS - 1] if len(self._rungs) > _RUNGS else ()
        if isinstance(far, int):
            self._rungs[-_RUNGS - 1] = _identity(far)
            os.close(far)
        try:
            yield self
        finally:
            self._up()

    def entries(self) -> list[tuple[str, os.stat_result]]:
        """What lies in the lowest directory, without what goes while we look."""
        listed = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path(".")) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    listed.append((entry.name, entry.stat(follow_symlinks=False)))
        return listed

    def _up(self) -> None:
        left, above = self._rungs.pop(), self._rungs[-1]
        if not isinstance(left, int):
            return
        try:
            with contextlib.suppress(OSError):
                self._find(left, above)
        finally:
            os.close(left)

    def _find(self, left: int, above: int | tuple[int, int]) -> None:
        if isinstance(above, int):
            return
        found = os.open("..", _HELD, dir_fd=left)
        if _identity(found) == above:
            self._rungs[-1] = found
        else:
            os.close(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for rung in self._rungs:
            if isinstance(rung, int):
                os.close(rung)


def _identity(place: int) -> tuple[int, int]:
    facts = os.fstat(place)
    return facts.st_dev, facts.st_ino


@dataclass(frozen=True, slots=True)
class Below(Generic[T]):
    """What a walk meets in a directory beneath, in place of a recursion."""

    steps: Iterator["T | Below[T]"]


def flat(steps: Iterator[T | Below[T]]) -> Iterator[T]:
    """All that a walk meets, each directory's in its place, however deep it lies."""
    stack = [steps]
    try:
        while stack:
            for step in stack[-1]:
                if isinstance(step, Below):
                    stack.append(step.steps)
                    break
                yield step
            else:
                stack.pop()
    finally:
        while stack:
            last = stack.pop()
            if isinstance(last, Generator):
                last.close()


def everything(
    top: str | os.PathLike[str], ignored: Callable[[str], bool] = lambda name: False
) -> Iterator[os.stat_result]:
    """What lies in a directory and beneath it, without what goes meanwhile, and what has an ignored name."""
    with Ladder(top) as ladder:
        found: Iterator[os.stat_result] = flat(_everything(ladder, ignored))
        yield from found


def _everything(
    place: Ladder, ignored: Callable[[str], bool]
) -> Iterator[os.stat_result | Below[os.stat_result]]:
    for name, facts in place.entries():
        if ignored(name):
            continue
        yield facts
        if stat.S_ISDIR(facts.st_mode):
            with place.down(name) as inner:
                if inner is not None:
                    yield Below(_everything(inner, ignored))

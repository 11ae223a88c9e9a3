"""Two layers unpacked side by side into one tree, where one puts links in place of what the other writes into."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.diff.apply import apply
from services.containerd.diff.whiteout import Form
from tests.unit.containerd.diff.archive import Builder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="layers are unpacked as root")
ROUNDS = 150
TARGETS = ["{outside}", "../outside", "../../../../../..{outside}", "e", "."]


class Yard:
    """A tree, and a directory beside it that must stay as it is."""

    def __init__(self, base: Path) -> None:
        self.root, self.outside = base / "root", base / "outside"
        (self.root / "e").mkdir(parents=True)
        (self.outside / "sub").mkdir(parents=True)
        for name in ("file", "old", "sub/file"):
            (self.outside / name).write_text("untouched")
        (base / "link").symlink_to("outside/file")
        self.before = self.look()

    def look(self) -> dict[str, tuple[object, ...]]:
        found = {}
        for path in (self.outside, *self.outside.rglob("*")):
            facts = path.lstat()
            content = path.read_text() if path.is_file() else ""
            status = (facts.st_mode, facts.st_uid, facts.st_nlink, facts.st_mtime_ns)
            found[str(path)] = (*status, os.listxattr(path), content)
        return found

    def unpack(self, form: Form, chunks: Iterator[bytes]) -> None:
        with contextlib.suppress(errdefs.EngineError):  # it may be refused, as long as it stays inside
            apply(self.root, chunks, form=form)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def blocks(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 512] for at in range(0, len(data), 512))


def victim() -> bytes:
    """Every kind of entry below d, which is named first, and its times set last."""
    made = Builder().directory("d", mtime=7).add("d/file", b"evil", mode=0o4755, uid=9).directory("d/sub", mode=0o777)
    made.add("d/sub/file", b"evil" * 500).symlink("d/link", "file").hardlink("d/old", "d/file").add("d/.wh.old")
    made.hardlink("copy", "d/file").device("d/null", 1, 3).add("d/sub/.wh..wh..opq").add("d/.wh.sub")
    return made.directory("d/e/f", mtime=9).add("d/.wh..wh..opq").directory("d", mtime=8).plain()


def swaps(outside: Path) -> list[bytes]:
    """Layers that put a link where d or what lies in it is, or a directory again."""
    targets = [target.format(outside=outside) for target in TARGETS]
    links = [Builder().symlink("d", target).plain() for target in targets]
    below = [Builder().symlink("d/sub", target).symlink("d/file", f"{target}/file").plain() for target in targets]
    return [*links, Builder().directory("d").directory("d/sub").plain(), *below]


@pytest.mark.parametrize("form", list(Form))
def test_swap_at_any_moment_leads_nowhere(yard: Yard, form: Form) -> None:
    layer = victim()
    for swap in swaps(yard.outside):
        for moment in range(0, len(layer) // 512, 2):

            def interleaved(swap: bytes = swap, moment: int = moment) -> Iterator[bytes]:
                for number, block in enumerate(blocks(layer)):
                    if number == moment:
                        yard.unpack(form, blocks(swap))
                    yield block

            yard.unpack(form, interleaved())
            assert yard.look() == yard.before, moment


@pytest.mark.parametrize("form", list(Form))
def test_layers_side_by_side_stay_inside(yard: Yard, form: Form) -> None:
    def repeat(layers: list[bytes], *, until: Callable[[], bool]) -> None:
        while not until():
            for layer in layers:
                yard.unpack(form, blocks(layer))

    done = threading.Event()
    swapper = threading.Thread(target=repeat, args=(swaps(yard.outside),), kwargs={"until": done.is_set})
    swapper.start()
    try:
        rounds = iter(range(ROUNDS))
        repeat([victim()], until=lambda: next(rounds, None) is None)
    finally:
        done.set()
        swapper.join()
    assert yard.look() == yard.before

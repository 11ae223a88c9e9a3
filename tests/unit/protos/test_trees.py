"""Trees that are deeper than a path can name."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protos import trees

DEPTH = 1500
NAME = "d" * 20


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """With a file and a link that leads out in the deepest directory; pytest could not remove it."""
    place = tmp_path / "top"
    place.mkdir()
    here = os.open(place, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, dir_fd=here)
        here, above = os.open(NAME, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    os.symlink(tmp_path / "outside", "link", dir_fd=here)
    os.close(here)
    yield place
    with suppress(FileNotFoundError):
        trees.remove(place)


def test_deep_trees_are_removed(top: Path) -> None:
    trees.remove(top)
    assert not top.exists() and (top.parent / "outside/kept").exists()


def test_a_relative_name_lies_in_its_directory(top: Path) -> None:
    parent = os.open(top.parent, os.O_RDONLY)
    trees.remove("top", parent)
    os.close(parent)
    assert not top.exists()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        trees.remove(tmp_path / "none")

"""Walks of any depth while the tree is moved about."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs, trees
from protos.ladder import Below, Ladder, everything, flat

DEPTH = 2500


def dig(top: Path, depth: int) -> None:
    place = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        place, above = os.open("d", os.O_RDONLY, dir_fd=place), place
        os.close(above)
    os.mknod("leaf", dir_fd=place)
    os.close(place)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    top = tmp_path / "deep"
    top.mkdir()
    dig(top, DEPTH)
    yield top
    trees.remove(top)


def held() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def names(place: Ladder, path: str) -> Iterator[str | Below[str]]:
    for name, _ in sorted(place.entries(), key=lambda it: it[0]):
        yield f"{path}/{name}"
        with place.down(name) as inner:
            if inner is not None:
                yield Below(names(inner, f"{path}/{name}"))
    yield f"{path} ends"


def listed(top: Path) -> Iterator[str]:
    with Ladder(top) as ladder:
        found: Iterator[str] = flat(names(ladder, ""))
        yield from found


def test_depth_costs_few_descriptors(deep: Path) -> None:
    before, most, count = held(), 0, 0
    for count, _ in enumerate(everything(deep), 1):
        most = max(most, held()) if count % 100 == 0 else most
    assert count == DEPTH + 1 and most - before < 80
    assert held() <= before  # what other tests have left may be closed meanwhile


def test_way_back_leads_through_every_directory(deep: Path) -> None:
    found = list(listed(deep))
    assert len(found) == 2 * DEPTH + 2 and found[-1] == " ends" and found[-3] == "/d/d ends"


def test_walk_given_up_leaves_nothing_open(deep: Path) -> None:
    before, walk = held(), listed(deep)
    for _ in range(1000):
        next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert held() <= before  # what other tests have left may be closed meanwhile


def test_directory_moved_away_is_no_way_back(deep: Path) -> None:
    (deep / "d/d/e").touch()
    with pytest.raises(errdefs.Aborted, match="moved"):
        for name in listed(deep):
            if name == "/d" * 1000:
                (deep / "d/d/d").rename(deep / "away")


def test_links_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to("../outside")
    assert list(listed(tmp_path / "top")) == ["/link", " ends"]


def test_directory_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    (tmp_path / "top/a").mkdir(parents=True)
    found = []
    for name in listed(tmp_path / "top"):
        found.append(name)
        if name == "/a":
            (tmp_path / "top/a").rmdir()
            (tmp_path / "top/a").symlink_to("../outside")
    assert found == ["/a", " ends"]

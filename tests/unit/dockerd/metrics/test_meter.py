import asyncio
from collections.abc import Iterator

import pytest

from services.dockerd.metrics import meter


class Book:
    """A sink that writes down."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []

    def count(self, family: str, *labels: str) -> None:
        self.lines.append((family, *labels))

    def seconds(self, family: str, elapsed: float, *labels: str) -> None:
        assert elapsed >= 0
        self.lines.append((family, *labels))


@pytest.fixture
def book() -> Iterator[Book]:
    made = Book()
    meter.install(made)
    yield made
    meter.install(None)


@meter.timed("container_actions", "start")
async def act(fails: bool = False) -> int:
    if fails:
        raise ValueError
    return 7


def test_what_succeeds_is_timed(book: Book) -> None:
    assert asyncio.run(act()) == 7
    with pytest.raises(ValueError):
        asyncio.run(act(fails=True))
    assert book.lines == [("container_actions", "start")]


def test_counts_reach_the_sink(book: Book) -> None:
    meter.count("events")
    assert book.lines == [("events",)]


def test_nothing_is_done_for_nobody() -> None:
    assert meter.sink() is None
    meter.count("no such family")
    assert asyncio.run(act()) == 7

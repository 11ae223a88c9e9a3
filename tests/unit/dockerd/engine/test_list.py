import asyncio
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import filters
from services.dockerd.engine.list import select
from tests.unit.dockerd.engine.made import Bench, bench


def boxes(it: Bench) -> None:
    """`runs`, then `ended` with code 3, then `new`: each created after the one before."""
    for created, name in enumerate(("runs", "ended", "new"), 1):
        box = it.container(name, running=name != "new")
        box.created = created
        if name == "ended":
            box.state = box.state.exited(3, 2)
        box.config.Labels = {"name": name, "all": ""}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["runs"]),
        ({"status": ["exited"]}, ["ended"]),
        ({"status": ["exited", "created"]}, ["new", "ended"]),
        ({"exited": ["3"]}, ["ended"]),
        ({"exited": ["0"]}, []),
        ({"before": ["new"]}, ["ended", "runs"]),
        ({"since": ["runs"]}, ["new", "ended"]),
        ({"since": ["runs"], "before": ["new"]}, ["ended"]),
        ({"name": ["run"]}, ["runs"]),
        ({"name": ["^/runs$"]}, ["runs"]),
        ({"name": ["end"]}, []),
        ({"label": ["all"], "status": ["created"]}, ["new"]),
        ({"label": ["name=runs"]}, ["runs"]),
        ({"label": ["name=runs", "all=x"]}, []),
        ({"health": ["none"]}, ["runs"]),
        ({"ancestor": ["nonesuch"]}, []),
    ],
)
def test_filters_choose(tmp_path: Path, wanted: dict[str, list[str]], names: list[str]) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            boxes(it)
            chosen = select(it.engine, filters.Filters(wanted))
            assert [each.name for each in chosen] == names

    asyncio.run(main())


def test_limit_is_of_the_newest_whatever_their_state(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            boxes(it)
            none = filters.Filters({})
            assert [each.name for each in select(it.engine, none, limit=2)] == ["new", "ended"]
            assert [each.name for each in select(it.engine, none, everything=True)] == ["new", "ended", "runs"]

    asyncio.run(main())


@pytest.mark.parametrize("wanted", [{"status": ["asleep"]}, {"exited": ["x"]}, {"health": ["well"]}])
def test_values_that_mean_nothing_are_refused(tmp_path: Path, wanted: dict[str, list[str]]) -> None:
    async def main() -> None:
        async with bench(tmp_path) as it:
            with pytest.raises(InvalidArgument):
                select(it.engine, filters.Filters(wanted))

    asyncio.run(main())

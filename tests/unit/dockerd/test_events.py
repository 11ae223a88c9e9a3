import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.dockerd.events import Journal, lines
from services.dockerd.filters import Filters
from tests.unit.dockerd.waiting import until

SECOND = 1_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path).open()
    yield journal
    journal.close()


def tell(journal: Journal, name: str, action: str = "start", at: int = 0, key: str = "", **labels: str) -> bool:
    return journal.publish("container", action, name * 4, {"name": name, "image": "busybox", **labels}, key=key, at=at)


def past(
    journal: Journal, since: int = 0, stop: int | None = None, fields: dict[str, list[str]] | None = None
) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        end = time.time_ns() if stop is None else stop
        return [json.loads(each) async for each in lines(journal, Filters(fields or {}), since, end)]

    return asyncio.run(read())


async def aclose(reading: AsyncIterator[bytes]) -> None:
    await reading.aclose()  # type: ignore[attr-defined]


def names(messages: list[dict[str, Any]]) -> list[str]:
    return [each["Actor"]["Attributes"].get("name", "") for each in messages]


def test_a_message_has_dockers_fields(journal: Journal) -> None:
    tell(journal, "one", at=5 * SECOND + 7)
    assert past(journal) == [{
        "status": "start", "id": "oneoneoneone", "from": "busybox", "Type": "container", "Action": "start",
        "Actor": {"ID": "oneoneoneone", "Attributes": {"name": "one", "image": "busybox"}}, "scope": "local",
        "time": 5, "timeNano": 5 * SECOND + 7,
    }]


def test_networks_have_no_status(journal: Journal) -> None:
    journal.publish("network", "connect", "n", {"name": "bridge"})
    assert "status" not in past(journal)[0]


def test_a_key_is_told_once(journal: Journal) -> None:
    assert tell(journal, "one", "die", key="k")
    assert not tell(journal, "one", "die", key="k")
    assert len(past(journal)) == 1


def test_events_and_keys_survive_a_restart(journal: Journal) -> None:
    tell(journal, "one", "die", key="k")
    journal.close()
    again = Journal(journal.directory).open()
    assert again.holds("k") and not tell(again, "one", "die", key="k")
    tell(again, "two")
    assert names(past(again)) == ["one", "two"]
    again.close()


def test_a_torn_line_hides_no_other(journal: Journal) -> None:
    tell(journal, "one")
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"Type":"contai')
    again = Journal(journal.directory).open()
    tell(again, "two")
    assert names(past(again)) == ["one", "two"]
    again.close()


def test_since_and_until_are_bounds(journal: Journal) -> None:
    for number in range(1, 5):
        tell(journal, str(number), at=number * SECOND)
    assert names(past(journal, since=2 * SECOND, stop=3 * SECOND)) == ["2", "3"]


def test_the_journal_is_bounded(journal: Journal) -> None:
    journal.limit = 2000
    for number in range(100):
        tell(journal, f"n{number:02}", "die", key=f"k{number}")
    kept = names(past(journal))
    assert kept[-1] == "n99" and 5 < len(kept) < 40
    assert journal.path.stat().st_size <= 2000 and journal.older.stat().st_size <= 2000
    assert journal.holds("k99") and not journal.holds("k0")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"container": ["one"]}, ["one", "one"]),
        ({"container": ["onetwo", "twotwo"]}, ["two"]),
        ({"event": ["die"]}, ["one"]),
        ({"event": ["start", "die"], "container": ["one"]}, ["one", "one"]),
        ({"type": ["network"]}, ["bridge"]),
        ({"label": ["role"]}, ["two"]),
        ({"label": ["role=db", "image"]}, ["two"]),
        ({"label": ["role=web"]}, []),
        ({"image": ["busybox"]}, ["one", "two", "one"]),
        ({"image": ["other"]}, []),
        ({"network": ["bridge"]}, ["bridge"]),
        ({"scope": ["swarm"]}, []),
        ({"event": ["exec_create"]}, []),
    ],
)
def test_filters_choose(journal: Journal, fields: dict[str, list[str]], found: list[str]) -> None:
    tell(journal, "one")
    tell(journal, "two", role="db")
    tell(journal, "one", "die")
    journal.publish("network", "connect", "n" * 8, {"name": "bridge"})
    assert names(past(journal, fields=fields)) == found


def test_suffixed_actions_match_by_their_beginning(journal: Journal) -> None:
    tell(journal, "one", "health_status: healthy")
    tell(journal, "one", "exec_create: ls")
    assert [each["Action"] for each in past(journal, fields={"event": ["health_status"]})] == ["health_status: healthy"]


def test_a_follower_gets_what_comes(journal: Journal) -> None:
    async def follow() -> list[str]:
        tell(journal, "before")
        reading = lines(journal, Filters(), None, None)
        first = asyncio.ensure_future(anext(reading))
        await until(lambda: journal.followers)
        tell(journal, "one")
        got = [await first]
        tell(journal, "two")
        got.append(await anext(reading))
        await aclose(reading)
        return names([json.loads(each) for each in got])

    assert asyncio.run(follow()) == ["one", "two"]
    assert journal.followers == 0


def test_a_slow_follower_loses_nothing_to_a_rotation(journal: Journal) -> None:
    async def follow() -> list[str]:
        reading = lines(journal, Filters(), None, None)
        first = asyncio.ensure_future(anext(reading))
        await until(lambda: journal.followers)
        journal.limit = 2000
        for number in range(14):
            tell(journal, f"n{number:02}")
        got = [await first]
        while len(got) < 14:
            got.append(await anext(reading))
        return names([json.loads(each) for each in got])

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == [f"n{number:02}" for number in range(14)]


def test_followers_end_with_the_journal(journal: Journal) -> None:
    async def follow() -> list[bytes]:
        async def collect() -> list[bytes]:
            return [each async for each in lines(journal, Filters(), None, None)]

        collecting = asyncio.ensure_future(collect())
        await until(lambda: journal.followers)
        journal.close()
        return await asyncio.wait_for(collecting, 10)

    assert asyncio.run(follow()) == []


def test_a_full_disk_loses_the_event_and_not_the_daemon(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.close()
    with journal.path.open("rb") as file:
        journal._file = file.fileno()  # cannot be written to, as on a full disk
        tell(journal, "one")
        journal._file = -1
    assert "event not written" in caplog.text

import json

import pytest

from services.dockerd.images import progress


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_321_000, "4.321MB"), (2 * 10**9, "2GB")]
)
def test_sizes_read_as_dockers(size: int, text: str) -> None:
    assert progress.human(size) == text


@pytest.mark.parametrize(
    ("current", "total", "drawn"),
    [
        (0, 100, "[>" + " " * 50 + "]       0B/100B"), (50, 100, "[" + "=" * 25 + ">" + " " * 25 + "]      50B/100B"),
        (1069156, 1069156, "[" + "=" * 50 + ">]  1.069MB/1.069MB"), (36445, 0, " 36.45kB"),
    ],
)
def test_bars_are_drawn_as_dockers(current: int, total: int, drawn: str) -> None:
    assert json.loads(progress.bar("x", "id", current, total))["progress"] == drawn


def test_failures_end_a_stream() -> None:
    assert json.loads(progress.failure("no")) == {"error": "no", "errorDetail": {"message": "no"}}

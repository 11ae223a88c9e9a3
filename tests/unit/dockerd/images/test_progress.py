import json

import pytest

from services.dockerd.images import progress


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_321_000, "4.321MB"), (2 * 10**9, "2GB")]
)
def test_sizes_read_as_dockers(size: int, text: str) -> None:
    assert progress.human(size) == text


@pytest.mark.parametrize(
    ("current", "drawn"),
    [(0, "[>" + " " * 49 + "]"), (50, "[" + "=" * 25 + ">" + " " * 24 + "]"), (100, "[" + "=" * 50 + "]")],
)
def test_bars_fill(current: int, drawn: str) -> None:
    assert json.loads(progress.bar("x", "id", current, 100))["progress"].startswith(drawn)


def test_failures_end_a_stream() -> None:
    assert json.loads(progress.failure("no")) == {"error": "no", "errorDetail": {"message": "no"}}

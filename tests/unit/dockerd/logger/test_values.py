import pytest

from services.dockerd.logger import values


@pytest.mark.parametrize(
    ("text", "count"), [("10", 10), ("1k", 1024), ("2M", 2 << 20), ("1.5g", 3 << 29), ("3kb", 3072), ("1KiB", 1024)]
)
def test_sizes(text: str, count: int) -> None:
    assert values.size(text) == count


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1s", 1), ("1m30s", 90), ("250ms", 0.25), (".5h", 1800)])
def test_spans(text: str, seconds: float) -> None:
    assert values.span(text) == seconds

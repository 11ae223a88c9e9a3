import pytest

from protos import errdefs
from services.dockerd.container import signals


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15), ("term", 15), ("9", 9), ("USR1", 10), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("RTMIN", 34),
        ("64", 64),
    ],
)
def test_names_and_numbers(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "SIGFOO", "RTMIN+31", "15 9"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="Invalid signal"):
        signals.parse(text)

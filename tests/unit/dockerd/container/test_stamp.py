import pytest

from services.dockerd.container import stamp

SECOND = 1_000_000_000


def test_zero_is_never() -> None:
    assert stamp.rfc3339(0) == "0001-01-01T00:00:00Z"
    assert stamp.parse("0001-01-01T00:00:00Z") == 0


@pytest.mark.parametrize("moment", [1, SECOND, 1714557600 * SECOND + 120_000_000, 1714557600 * SECOND + 123_456_789])
def test_times_survive_the_round_trip(moment: int) -> None:
    assert stamp.parse(stamp.rfc3339(moment)) == moment


def test_fraction_loses_trailing_zeros() -> None:
    assert stamp.rfc3339(1714557600 * SECOND + 120_000_000) == "2024-05-01T10:00:00.12Z"
    assert stamp.fixed(1714557600 * SECOND + 120_000_000) == "2024-05-01T10:00:00.120000000Z"


def test_zones_are_understood() -> None:
    assert stamp.parse("2024-05-01T12:00:00.5+02:00") == 1714557600 * SECOND + SECOND // 2


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1714557600", 1714557600 * SECOND),
        ("1714557600.25", 1714557600 * SECOND + SECOND // 4),
        ("2024-05-01", 1714521600 * SECOND),
        ("2024-05-01T10:00:00Z", 1714557600 * SECOND),
        ("10m", 400 * SECOND),
        ("1m30.5s", 909 * SECOND + SECOND // 2),
        ("1h", -2600 * SECOND),
    ],
)
def test_moments_of_the_api(text: str, moment: int) -> None:
    assert stamp.moment(text, 1000 * SECOND) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "10x", "2024-13-01T00:00:00Z", "1714557600."])
def test_nonsense_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        stamp.moment(text, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (125, "2 minutes"),
        (3600, "About an hour"), (3600 * 5, "5 hours"), (3600 * 47, "47 hours"), (3600 * 48, "2 days"),
        (86400 * 13, "13 days"), (86400 * 14, "2 weeks"), (86400 * 70, "2 months"), (86400 * 800, "2 years"),
    ],
)
def test_spans_read_as_docker_words_them(seconds: float, text: str) -> None:
    assert stamp.ago(seconds) == text

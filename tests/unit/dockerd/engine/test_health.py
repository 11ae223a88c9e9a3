import pytest

from services.dockerd.engine.health import command, judge
from services.dockerd.schema.container import HealthConfig


@pytest.mark.parametrize(
    ("test", "shell", "words"),
    [
        (["CMD", "a", "b"], None, ["a", "b"]),
        (["CMD-SHELL", "a b"], None, ["/bin/sh", "-c", "a b"]),
        (["CMD-SHELL", "a b"], ["/bin/ash", "-ec"], ["/bin/ash", "-ec", "a b"]),
        (["NONE"], None, []),
        ([], None, []),
    ],
)
def test_what_a_check_runs(test: list[str], shell: list[str] | None, words: list[str]) -> None:
    assert command(HealthConfig(Test=test), shell) == words


def test_no_check_runs_nothing() -> None:
    assert command(None, None) == []


def course(codes: list[int], *, retries: int = 3, graceful: int = 0) -> list[str]:
    """States after each check; the first `graceful` ones fall into the start period."""
    status, streak, seen = "starting", 0, []
    for number, code in enumerate(codes):
        status, streak = judge(status, streak, code, retries, graceful=number < graceful)
        seen.append(f"{status} {streak}")
    return seen


def test_one_success_is_enough() -> None:
    assert course([0, 0]) == ["healthy 0", "healthy 0"]


def test_failures_in_a_row_make_it_unhealthy() -> None:
    assert course([0, 1, 1, 1, 1]) == ["healthy 0", "healthy 1", "healthy 2", "unhealthy 3", "unhealthy 4"]


def test_success_between_begins_anew() -> None:
    assert course([1, 1, 0, 1, 1, 1]) == ["starting 1", "starting 2", "healthy 0", "healthy 1", "healthy 2",
                                          "unhealthy 3"]


def test_failures_in_the_start_period_do_not_count() -> None:
    assert course([1, 1, 1, 1, 1], retries=2, graceful=3) == ["starting 0"] * 3 + ["starting 1", "unhealthy 2"]


def test_success_ends_the_start_period() -> None:
    assert course([0, 1, 1], retries=2, graceful=9) == ["healthy 0", "healthy 1", "unhealthy 2"]


def test_unhealthy_one_recovers() -> None:
    assert course([1, 0], retries=1) == ["unhealthy 1", "healthy 0"]

import pytest

from services.dockerd.container.restart import Backoff, after_exit, at_start
from services.dockerd.schema.container import RestartRule


def test_waits_double_up_to_a_minute() -> None:
    backoff = Backoff()
    waits = [backoff.next(0.1) for _ in range(12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8] and waits[-1] == 60


def test_ten_seconds_of_running_start_over() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next(0.1)
    assert backoff.next(10.0) == 0.1
    assert backoff.next(9.9) == 0.2


@pytest.mark.parametrize(
    ("name", "code", "restarts", "stopped", "again"),
    [
        ("no", 1, 0, False, False),
        ("always", 0, 9, False, True),
        ("always", 0, 0, True, False),
        ("unless-stopped", 0, 0, False, True),
        ("unless-stopped", 1, 0, True, False),
        ("on-failure", 0, 0, False, False),
        ("on-failure", 1, 2, False, True),
        ("on-failure", 1, 3, False, False),
    ],
)
def test_policies_after_an_exit(name: str, code: int, restarts: int, stopped: bool, again: bool) -> None:
    rule = RestartRule(Name=name, MaximumRetryCount=3 if name == "on-failure" else 0)
    assert after_exit(rule, code, restarts=restarts, stopped_by_user=stopped) is again


def test_on_failure_without_a_limit_goes_on() -> None:
    assert after_exit(RestartRule(Name="on-failure"), 1, restarts=1000, stopped_by_user=False)


@pytest.mark.parametrize(
    ("name", "code", "restarts", "stopped", "again"),
    [
        ("always", 0, 9, True, True),
        ("unless-stopped", 0, 9, False, True),
        ("unless-stopped", 1, 0, True, False),
        ("on-failure", 137, 1, False, True),
        ("on-failure", 137, 2, False, False),
        ("on-failure", 0, 0, False, False),
        ("on-failure", 137, 0, True, True),
        ("on-failure", 0, 0, True, False),
        ("no", 1, 0, False, False),
    ],
)
def test_policies_at_the_daemons_start(name: str, code: int, restarts: int, stopped: bool, again: bool) -> None:
    rule = RestartRule(Name=name, MaximumRetryCount=2 if name == "on-failure" else 0)
    assert at_start(rule, code=code, restarts=restarts, stopped_by_user=stopped) is again

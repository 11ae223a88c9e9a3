"""When a container that ended is started again: Docker's policies and back-off (pure).

The first restart comes after 100 ms; each further one doubles the wait up to a minute; a run of ten seconds resets it.
"""

from dataclasses import dataclass
from typing import Final

from services.dockerd.schema.container import RestartRule

FIRST: Final = 0.1
LAST: Final = 60.0
STEADY: Final = 10.0
"""Seconds of running after which the wait starts over."""


@dataclass(slots=True)
class Backoff:
    delay: float = 0.0

    def next(self, ran: float) -> float:
        """Seconds to wait now, given how long the container ran."""
        if self.delay == 0 or ran >= STEADY:
            self.delay = FIRST
        else:
            self.delay = min(self.delay * 2, LAST)
        return self.delay

    def reset(self) -> None:
        self.delay = 0.0


def after_exit(rule: RestartRule, code: int, *, restarts: int, stopped_by_user: bool) -> bool:
    """Whether a container that just ended with `code` is started again."""
    if stopped_by_user:
        return False
    if rule.Name in ("always", "unless-stopped"):
        return True
    allowed = rule.MaximumRetryCount == 0 or restarts < rule.MaximumRetryCount
    return rule.Name == "on-failure" and allowed and code != 0


def at_start(rule: RestartRule, *, code: int, restarts: int, stopped_by_user: bool) -> bool:
    """Whether dockerd starts a container that does not run when dockerd itself starts.

    Those that failed too, also by the end of the last dockerd, and, as with Docker, by a `stop` that they did not obey.
    """
    if rule.Name == "always":
        return True
    if rule.Name == "unless-stopped":
        return not stopped_by_user
    return after_exit(rule, code, restarts=restarts, stopped_by_user=False)

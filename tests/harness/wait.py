"""Waiting for a condition with a deadline: the only way a test waits."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
PAUSE = 0.02
PATIENCE = float(os.environ.get("PATIENCE", "1"))
"""How many times longer every deadline is, for a machine that is emulated."""


def until(condition: Callable[[], Value], what: str, timeout: float = 15.0) -> Value:
    """The first true answer of `condition`; AssertionError with `what` once `timeout` s are over."""
    deadline = time.monotonic() + timeout * PATIENCE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what} (last answer: {answer!r})")
        time.sleep(PAUSE)
    return answer

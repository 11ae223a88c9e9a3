"""The pace of a request's bars."""

import json
from typing import Any
from unittest import mock

from services.dockerd.images.bars import Bars


class Screen:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.bars = Bars(lambda record: self.said.append(json.loads(record)))

    def numbers(self) -> list[int]:
        return [record["progressDetail"].get("current", -1) for record in self.said]


def test_bars_keep_a_pace() -> None:
    screen, now = Screen(), [0.0]
    with mock.patch("time.monotonic", lambda: now[0]):
        for now[0], current in ((7.0, 1), (7.05, 2), (7.15, 3), (7.2, 4)):
            screen.bars.tell("a", "Pushing", current, 10)
    assert screen.numbers() == [1, 3]


def test_a_full_bar_is_shown_at_once() -> None:
    screen = Screen()
    with mock.patch("time.monotonic", lambda: 7.0):
        for current in (1, 9, 10):
            screen.bars.tell("a", "Pushing", current, 10)
    assert screen.numbers() == [1, 10]


def test_a_new_state_is_shown_at_once() -> None:
    screen = Screen()
    with mock.patch("time.monotonic", lambda: 7.0):
        screen.bars.tell("a", "Downloading", 1, 10)
        screen.bars.tell("b", "Downloading", 2, 10)
        for _ in range(2):
            screen.bars.tell("a", "Download complete")
    assert [(record["id"], record["status"]) for record in screen.said] == [
        ("a", "Downloading"), ("b", "Downloading"), ("a", "Download complete")
    ]

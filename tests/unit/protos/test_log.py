import json
import logging
import sys
from collections.abc import Iterator

import pytest

from protos.log import Documents, Entries, Lines, container_var, request_var, short

BOX = "3f" * 32


def entry(message: str, form: Entries, **more: object) -> str:
    record = logging.LogRecord("api", logging.INFO, "", 0, message, (), None)
    record.created, record.msecs = 0.0, 7.0
    record.__dict__.update(more)
    return form.format(record)


@pytest.fixture
def at_work() -> Iterator[None]:
    tokens = request_var.set("a1-2"), container_var.set(short(BOX))
    yield
    request_var.reset(tokens[0])
    container_var.reset(tokens[1])


def failure() -> object:
    try:
        raise ValueError("no\nway")
    except ValueError:
        return sys.exc_info()


def test_line_is_keys_and_values() -> None:
    assert entry("hello id=1", Lines()) == "time=1970-01-01T00:00:00.007Z level=info module=api msg=hello id=1"


@pytest.mark.usefixtures("at_work")
def test_container_and_request_are_named() -> None:
    line = entry("x", Lines("containerd."))
    assert line == (
        "time=1970-01-01T00:00:00.007Z level=info module=containerd.api container=3f3f3f3f3f3f request=a1-2 msg=x")
    assert json.loads(entry("x", Documents())) == {
        "time": "1970-01-01T00:00:00.007Z", "level": "info", "module": "api", "container": "3f3f3f3f3f3f",
        "request": "a1-2", "msg": "x"}


@pytest.mark.usefixtures("at_work")
def test_what_is_passed_on_keeps_its_own() -> None:
    line = entry("x", Lines("containerd."), scope={"container": "other", "pid": "7"})
    assert line.endswith("module=api container=other pid=7 msg=x")


@pytest.mark.parametrize("form", [Lines(), Documents()])
def test_entry_stays_one_line(form: Entries) -> None:
    assert "\n" not in (text := entry("a\r\ntime=0 level=error", form, exc_info=failure())) and "\r" not in text
    assert "Traceback" in text and "no\\nway" in text


def test_only_ids_are_shortened() -> None:
    assert (short(BOX), short("t1"), short("a-long-name-of-ctr")) == ("3f3f3f3f3f3f", "t1", "a-long-name-of-ctr")

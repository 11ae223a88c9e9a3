import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import log
from protos.log import Documents, Entries, Lines, container_var, request_var, short

BOX = "3f" * 32


def entry(message: str, form: Entries, *values: object, **more: object) -> str:
    record = logging.LogRecord("api", logging.INFO, "", 0, message, values, None)
    record.created, record.msecs = 0.0, 7.0
    record.__dict__.update(more)
    return form.format(record)


@pytest.mark.parametrize("form", [Lines(), Documents()])
def test_the_worst_level_is_called_fatal(form: Entries) -> None:
    told = entry("x", form, levelno=logging.CRITICAL, levelname="CRITICAL")
    assert "level=fatal" in told or json.loads(told)["level"] == "fatal"


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


def said(message: str, *values: object, **more: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(entry(message, Documents(), *values, **more))
    return {key: value for key, value in found.items() if key not in ("time", "level", "module")}


def test_values_are_fields() -> None:
    assert said("proxy died container=%s pid=%d ms=%.2f", "c1", 7, 0.5) == {
        "msg": "proxy died", "container": "c1", "pid": 7, "ms": 0.5}
    assert entry("proxy died container=%s pid=%d", Lines(), "c1", 7).endswith("msg=proxy died container=c1 pid=7")


def test_no_value_becomes_a_field() -> None:
    assert said("refused error=%s", "no such file pid=1 level=error") == {
        "msg": "refused", "error": "no such file pid=1 level=error"}
    assert said("refused: %s", "pid=1 x=2") == {"msg": "refused: pid=1 x=2"}
    assert said("moved level=%s", "x") == {"msg": "moved"}


def test_fields_of_another_process() -> None:
    own = {"method": "/x", "ms": "0.5"}
    assert said("%s", "served a=1", fields=own, scope={"pid": "7"}) == {"msg": "served a=1", "pid": "7", **own}
    assert entry("%s", Lines(), "served", fields=own, scope={}).endswith("msg=served method=/x ms=0.5")


@pytest.mark.parametrize(("template", "values", "text"), [
    ("half of 100%", (), "half of 100%"), ("%(a)s of a=%(a)s", ({"a": 1},), "1 of a=1"), ("%s", ("x",), "x"),
])
def test_calls_of_another_kind_are_told_whole(template: str, values: tuple[object, ...], text: str) -> None:
    assert said(template, *values) == {"msg": text}


def test_no_call_has_a_key_of_the_entry() -> None:
    sources = "".join(path.read_text() for path in Path(log.__file__).parents[1].glob("services/**/*.py"))
    assert not re.findall(r'log\.\w+\(\s*"[^"]* (?:time|level|module|msg|stack)=%', sources)

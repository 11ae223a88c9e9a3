import json
from collections.abc import Callable
from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.shim.logger.packet import Entry
from services.shim.logger.sinks.splunk import Splunk

OPTIONS = {"splunk-url": "http://127.0.0.1:1", "splunk-token": "secret", "splunk-verify-connection": "false"}
FIELDS = {"COLOUR": "red"}


def message(line: bytes, tag: str = "t", stream: str = "stdout", **options: str) -> str:
    given = {f"splunk-{name}": value for name, value in options.items()}
    return Splunk({**OPTIONS, **given}, tag, "host", FIELDS)._message(Entry(stream, 1_500_999_999, line))


def event(line: bytes, tag: str = "t", **options: str) -> Any:
    return json.loads(message(line, tag, **options))["event"]


def test_messages_are_splunks() -> None:
    assert json.loads(message("ä".encode(), stream="stderr", source="s", sourcetype="y", index="i")) == {
        "event": {"line": "ä", "source": "stderr", "tag": "t", "attrs": FIELDS},
        "time": "1.501000", "host": "host", "source": "s", "sourcetype": "y", "index": "i",
    }


def test_json_lines_stay_json() -> None:
    assert event(b'{"a": [1, 2.50]}', format="json")["line"] == {"a": [1, 2.5]}
    assert '"line":{"a": 2.50},' in message(b'{"a": 2.50}', format="json")
    for text in (b"{a", b"NaN", b"[" * 99999):
        assert event(text, format="json")["line"] == text.decode()
    assert event(b'{"a": 1}', format="inline")["line"] == '{"a": 1}'


def test_raw_lines_stand_behind_tag_and_attributes() -> None:
    assert event(b"x", format="raw") == "t COLOUR=red x"
    assert event(b"x", tag="", format="raw") == "COLOUR=red x"
    assert message(b" \t", format="raw") == "" and event(b" ")["line"] == " "


def test_a_tag_may_be_left_out() -> None:
    assert event(b"x", tag="") == {"line": "x", "source": "stdout", "attrs": FIELDS}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda options: options.pop("splunk-url"), "splunk: splunk-url is expected"),
        (lambda options: options.pop("splunk-token"), "splunk: splunk-token is expected"),
        (lambda options: options.update({"splunk-url": "http://h/x"}), "splunk: expected format scheme://dns_name_or_"),
        (lambda options: options.update({"splunk-url": "h:8088"}), "splunk: expected format scheme://dns_name_or_"),
        (lambda options: options.update({"splunk-url": "http://h:x"}), "splunk: failed to parse http://h:x as url"),
        (lambda options: options.update({"splunk-format": "xml"}), "unknown format specified xml, supported formats"),
        (lambda options: options.update({"splunk-gzip-level": "10"}), "splunk: not supported level '10' for splunk-"),
        (lambda options: options.update({"splunk-gzip-level": "x"}), 'strconv.ParseInt: parsing "x": invalid syntax'),
        (lambda options: options.update({"splunk-gzip": "x"}), "invalid value for splunk-gzip: x"),
    ],
)
def test_options_that_cannot_be(change: Callable[[dict[str, str]], object], problem: str) -> None:
    options = dict(OPTIONS)
    change(options)
    with pytest.raises((ValueError, InvalidArgument)) as refused:
        Splunk(options, "t", "host", {})
    assert str(refused.value).startswith(problem)

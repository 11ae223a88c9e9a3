import re

import pytest

from services.shim.logger.sinks import syslog

NOW = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("", rb"<30>Nov 1[45] \d\d:\d\d:20 tag\[7\]: text\n"),
        ("rfc3164", rb"<30>Nov 1[45] \d\d:\d\d:20 host tag\[7\]: text\n"),
        ("rfc5424", rb"<30>1 2023-11-1[45]T\d\d:\d\d:20(Z|[+-]\d\d:\d\d) host tag 7 tag - text\n"),
        ("rfc5424micro", rb"<30>1 2023-11-1[45]T\d\d:\d\d:20\.123456(Z|[+-]\d\d:\d\d) host tag 7 tag - text\n"),
    ],
)
def test_formats_are_dockers(name: str, form: bytes) -> None:
    assert re.fullmatch(form, syslog.formatter(name, "host", "tag", 7)(30, NOW, b"text\n"))


@pytest.mark.parametrize(
    ("text", "number"), [("", 3), ("kern", 0), ("ftp", 11), ("local0", 16), ("local7", 23), ("5", 5)]
)
def test_facilities(text: str, number: int) -> None:
    assert syslog.facility(text) == number

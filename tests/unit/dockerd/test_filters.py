import pytest

from protos import errdefs
from services.dockerd.filters import Filters, parse

ACCEPTED = {"label", "name", "dangling"}


@pytest.mark.parametrize(
    "text",
    ['{"label":{"a=b":true,"c":true,"d":false}}', '{"label":["a=b","c"]}', '{"label":["a=b","c"],"name":[]}'],
)
def test_both_spellings_are_read(text: str) -> None:
    assert parse(text, ACCEPTED).fields == {"label": ["a=b", "c"]}


@pytest.mark.parametrize("text", [None, "", "{}", '{"name":{}}'])
def test_nothing_asked_is_no_filter(text: str | None) -> None:
    assert parse(text, ACCEPTED).fields == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", "null", '{"label":3}', '{"label":{"a":"b"}}', '{"label":[3]}', '{"label":null}']
)
def test_bad_json_is_refused(text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=r"^invalid filter$"):
        parse(text, ACCEPTED)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match=r"^invalid filter 'colour'$"):
        parse('{"colour":["red"]}', ACCEPTED)


def test_values_of_a_name_are_alternatives() -> None:
    wanted = Filters({"name": ["web", "^db[0-9]$"]})
    assert wanted.exact("name", "web") and not wanted.exact("name", "web1")
    assert wanted.fuzzy("name", "web1") and not wanted.fuzzy("name", "aweb")
    assert wanted.match("name", "aweb") and wanted.match("name", "db7") and not wanted.match("name", "db77")
    assert wanted.exact("label", "anything")


def test_a_broken_pattern_matches_itself_alone() -> None:
    wanted = Filters({"name": ["a("]})
    assert wanted.match("name", "a(") and not wanted.match("name", "a")


def test_all_labels_are_required() -> None:
    wanted = Filters({"label": ["a=b", "c"]})
    assert wanted.labels("label", {"a": "b", "c": ""})
    assert not wanted.labels("label", {"a": "b"}) and not wanted.labels("label", {"a": "x", "c": ""})


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_flags_are_read(value: str, meant: bool) -> None:
    assert Filters({"dangling": [value]}).flag("dangling", not meant) is meant


def test_a_flag_of_both_minds_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match=r"invalid filter 'dangling=\[true false\]'"):
        Filters({"dangling": ["true", "false"]}).flag("dangling", False)

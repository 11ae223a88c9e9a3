import pytest

from protos import errdefs
from services.containerd.metadata import labels

CURRENT = {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("wanted", "paths", "expected"),
    [
        ({"c": "3"}, [], {"c": "3"}),
        ({"c": "3"}, ["labels"], {"c": "3"}),
        ({"c": "3"}, ["labels.c"], {"a": "1", "b": "2", "c": "3"}),
        ({"a": ""}, ["labels.a"], {"b": "2"}),
        ({}, ["labels.a"], {"b": "2"}),
        ({"x.y/z": "v"}, ["labels.x.y/z"], {"a": "1", "b": "2", "x.y/z": "v"}),
        ({"a": "", "c": "3"}, ["labels"], {"c": "3"}),
    ],
)
def test_merge_follows_the_mask(wanted: dict[str, str], paths: list[str], expected: dict[str, str]) -> None:
    assert labels.merge(CURRENT, wanted, paths) == expected


def test_other_fields_are_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="size"):
        labels.merge(CURRENT, {}, ["size"])


def test_encoding_comes_back() -> None:
    for value in ({}, {"a": "ü", "b": '"\n'}):
        assert labels.decode(labels.encode(value)) == value


def test_stamp_keeps_nanoseconds() -> None:
    assert labels.stamp(1_700_000_000_123_456_789).ToNanoseconds() == 1_700_000_000_123_456_789

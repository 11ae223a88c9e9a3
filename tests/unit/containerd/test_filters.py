"""The filter grammar, with the filters that clients really send."""

import pytest

from protos import errdefs
from services.containerd import filters
from services.containerd.filters import Selector, compile_all, parse

CONTAINER = {
    "id": "c1",
    "image": "busybox:latest",
    "topic": "/tasks/exit",
    "labels.a": "1",
    "labels.com.example/x.y": "two words",
}


def field(path: list[str]) -> str | None:
    return CONTAINER.get(".".join(path))


def matches(*texts: str) -> bool:
    return compile_all(texts)(field)


def test_no_filter_matches_all() -> None:
    assert matches()
    assert matches("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id==c1", True),
        ("id==c2", False),
        ("id!=c2", True),
        ("missing!=x", True),
        ("missing==", None),
        ("topic==/tasks/exit", True),
        ("image~=^busybox", True),
        ("image~=|^busy|", True),
        ("image~=/^alpine/", False),
        ("labels.a", True),
        ("labels.b", False),
        ('labels."com.example/x.y"=="two words"', True),
        ("id==c1,labels.a==1", True),
        ("id==c1,labels.a==2", False),
        ("id==c1, labels.a==1", True),
        ("id == c1", True),
        (r'labels."com.example/x.y"=="two\x20words"', True),
        (r'labels."com.example/x.y"=="two\u0020w\157rds"', True),
    ],
)
def test_selects(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(errdefs.InvalidArgument):
            parse(text)
    else:
        assert matches(text) is expected


def test_several_filters_are_alternatives() -> None:
    assert matches("id==other", "id==c1")
    assert not matches("id==other", "id==another")


@pytest.mark.parametrize(
    "text", ["==x", "id=c1", "id==c1,", "id==c1 image==x", 'id=="open', "id==, x", "."]
)
def test_malformed_filter_is_refused(text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="filter"):
        parse(text)


def test_bad_expression_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="expression"):
        compile_all(["id~=("])


def test_parses_what_docker_sends() -> None:
    assert parse("namespace==moby,topic~=|^/tasks/|") == [
        Selector(("namespace",), "==", "moby"), Selector(("topic",), "~=", "^/tasks/"),
    ]
    assert parse("type==io.containerd.snapshotter.v1, id==overlayfs") == [
        Selector(("type",), "==", "io.containerd.snapshotter.v1"), Selector(("id",), "==", "overlayfs"),
    ]


def test_select_keeps_what_matches() -> None:
    items = ["one", "two", "three"]
    found = filters.select(items, ["name~=^t"], lambda item, path: item if path == ["name"] else None)
    assert found == ["two", "three"]

"""`WWW-Authenticate`: what registries send, and what nobody should."""

from hypothesis import given
from hypothesis import strategies as st

from services.dockerd.registry.challenge import Challenge, parse


def test_a_token_server_is_named() -> None:
    text = 'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'
    (found,) = parse([text])
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://auth.example/token", "service": "reg", "scope": "repository:a/b:pull,push"
    }


def test_several_in_one_field_and_in_several() -> None:
    found = parse(['Basic realm="a, b", Bearer realm=x', "Negotiate"])
    assert [each.scheme for each in found] == ["basic", "bearer", "negotiate"]
    assert found[0].parameters == {"realm": "a, b"} and found[1].parameters == {"realm": "x"}


def test_quotes_within_quotes() -> None:
    assert parse([r'Basic realm="a\"b"']) == [Challenge("basic", {"realm": 'a"b'})]


@given(st.lists(st.text()))
def test_nonsense_is_no_error(fields: list[str]) -> None:
    for each in parse(fields):
        assert each.scheme


def test_a_long_field_is_cut() -> None:
    assert len(parse(["a=b, Basic x=" + "y" * 1_000_000])) <= 2

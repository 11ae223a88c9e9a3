import hashlib
import json

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images import legacy

ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"1", b"2"))
COMMON = {"docker_version": "1.0", "architecture": "amd64", "os": "linux"}
BOTTOM = {
    "id": ONE, "created": "2014-01-01T00:00:00Z", "config": {"Cmd": ["sh"], "Env": ["A=b"]},
    "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD base"]}, **COMMON,
}
TOP = {
    "id": TWO, "parent": ONE, "created": "2014-01-02T00:00:00Z", "author": "me", "comment": "c",
    "config": {"Cmd": ["cat", "/b"], "Env": ["A=b"]}, "container_config": {"Cmd": ["/bin/sh", "-c", "touch /x"]},
    **COMMON,
}
DIFF_IDS = [
    "sha256:96531359bde453c14e09b17f2e8674f989bc15d950fb474b9340b692382148c2",
    "sha256:318692531109a58a7a272717d453fc1de5ee37b3f9e16292770338252a3c2ee1",
]
WRITTEN = {ONE: json.dumps(BOTTOM).encode(), TWO: json.dumps(TOP).encode()}


@pytest.mark.parametrize(
    ("depth", "image_id"),
    [
        (1, "6c4ffc4be89c6d96426e0656af469fb2b9f51864c91d1a299a08c5fa05981870"),
        (2, "ac9684b258999443a227f2aebe4dc60c93642ca92b8381889ccf2cff00750bf6"),
    ],
)
def test_ids_are_those_docker_gives(depth: int, image_id: str) -> None:
    """Taken from docker.io 20.10, which loaded the same archive."""
    chain = legacy.chain((ONE, TWO)[depth - 1], WRITTEN)
    assert hashlib.sha256(legacy.config(chain, DIFF_IDS[:depth])).hexdigest() == image_id


def test_a_chain_goes_down_to_what_has_no_parent() -> None:
    assert [each["id"] for each in legacy.chain(TWO, WRITTEN)] == [ONE, TWO]


def test_later_configs_stay_as_they_were_written() -> None:
    document = {"docker_version": "1.9.1", "own": "<kept>", "created": "x", "config": {"Cmd": None}, "id": ONE}
    made = legacy.config([document], [])
    assert b'"own":"\\u003ckept\\u003e"' in made and b'"config":{"Cmd":null}' in made and b'"id"' not in made


@pytest.mark.parametrize(
    "written", [{}, {ONE: b"[]"}, {ONE: b"{"}, {ONE: json.dumps({"parent": ONE}).encode()}, {ONE: b'{"parent":"../x"}'}]
)
def test_chains_that_lead_nowhere_are_refused(written: dict[str, bytes]) -> None:
    with pytest.raises(InvalidArgument):
        legacy.chain(ONE, written)


@pytest.mark.parametrize(
    "wrong",
    [{"config": {"Cmd": 7}}, {"config": [1]}, {"container_config": 7}, {"container_config": {"Cmd": [7]}},
     {"docker_version": "1.9", "container_config": {"Cmd": {}}}, {"config": {"StopTimeout": 2**70}}],
)
def test_documents_of_wrong_types_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        legacy.config([BOTTOM | wrong], DIFF_IDS[:1])


def test_versions_may_be_of_any_length() -> None:
    assert legacy.config([BOTTOM | {"docker_version": "9" * 5000}], DIFF_IDS[:1])


def test_names_stand_for_ids() -> None:
    assert list(legacy.tags(json.dumps({"a/b": {"1": ONE, "2": TWO}}).encode())) == [("a/b:1", ONE), ("a/b:2", TWO)]
    with pytest.raises(InvalidArgument, match="invalid image ID: x"):
        list(legacy.tags(b'{"a": {"1": "x"}}'))

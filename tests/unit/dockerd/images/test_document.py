"""Image configs from outside: null says nothing, and what has another type than it must have is refused."""

import json
from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images.document import parse_config
from services.dockerd.images.manifest import LIMIT

DIGEST = "sha256:" + "a" * 64


def parse(document: Any) -> dict[str, Any]:
    return parse_config(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b" " * (LIMIT + 1)])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_config(data)


@pytest.mark.parametrize(
    "document",
    [
        [], 5, {"rootfs": {"diff_ids": ["x"]}}, {"rootfs": []}, {"rootfs": {"diff_ids": 1}},
        {"history": [1]}, {"history": {}}, {"history": [{"created": 5}]}, {"history": [{"created": "yesterday"}]},
        {"history": [{"created_by": 5}]}, {"history": [{"empty_layer": "x"}]}, {"created": 5}, {"created": ""},
        {"author": 5}, {"os": ["linux"]}, {"architecture": {}}, {"variant": 8}, {"config": [1]}, {"config": 5},
        {"config": {"Env": 5}}, {"config": {"Env": [1]}}, {"config": {"Cmd": 5}}, {"config": {"Labels": []}},
        {"config": {"Labels": {"a": 5}}}, {"config": {"ExposedPorts": [80]}}, {"config": {"Volumes": ["/v"]}},
        {"config": {"User": 5}}, {"config": {"StopTimeout": 2**70}}, {"config": {"StopTimeout": 1e99}},
        {"config": {"Healthcheck": {"Interval": 2**64}}}, {"config": {"Healthcheck": []}},
    ],
)
def test_other_types_are_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument, match="image config"):
        parse(document)


def test_a_bare_config_is_enough() -> None:
    found = parse({})
    assert (found["rootfs"]["diff_ids"], found["history"], found["config"]) == ([], [], {})


def test_null_says_nothing() -> None:
    names = ("created", "author", "os", "rootfs", "history", "config", "variant", "container_config")
    assert parse(dict.fromkeys(names)) == parse({})
    assert parse({"history": [None, {"created": None, "created_by": None}]})["history"][0] == {}
    assert parse({"config": {"Healthcheck": {"Test": None, "Retries": -1}}})
    config = {"Env": [None], "Cmd": None, "Volumes": {"/v": None}, "Labels": {"a": None}, "ExposedPorts": {"1": None}}
    assert parse({"config": config})["config"] == {
        "Env": [""], "Volumes": {"/v": {}}, "Labels": {"a": ""}, "ExposedPorts": {"1": {}},
    }


def test_times_are_those_of_rfc_3339() -> None:
    for created in ("2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2020-01-01T00:00:00.123456789+14:00"):
        assert parse({"created": created, "history": [{"created": created}]})["created"] == created


def test_what_nobody_reads_may_be_anything() -> None:
    assert parse({"id": 5, "container_config": 7, "rootfs": {"diff_ids": [DIGEST]}})["id"] == 5

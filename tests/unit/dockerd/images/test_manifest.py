import json
from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images import manifest, platform

DIGEST = "sha256:" + "a" * 64
ENTRY = {"mediaType": "m", "digest": DIGEST, "size": 3}


def test_a_manifest_names_config_and_layers() -> None:
    parsed = manifest.parse_manifest(json.dumps({"config": ENTRY, "layers": [ENTRY, ENTRY]}).encode())
    assert (parsed.config.digest, len(parsed.layers)) == (DIGEST, 2)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"config": ENTRY},
        {"config": ENTRY, "layers": [], "manifests": []},
        {"config": ENTRY | {"digest": "sha256:x"}, "layers": []},
        {"config": ENTRY | {"size": -1}, "layers": []},
        {"config": ENTRY | {"size": True}, "layers": []},
        {"config": ENTRY, "layers": [None]},
        {"config": ENTRY, "layers": [], "Manifests": []},
    ],
)
def test_bad_manifests_are_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse_manifest(json.dumps(document).encode())


def test_the_platforms_own_manifest_is_chosen() -> None:
    mine = {"os": "linux", "architecture": platform.default().architecture}
    other = ENTRY | {"digest": "sha256:" + "b" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
    index = {"manifests": [other, ENTRY | {"platform": mine}]}
    chosen = platform.choose(manifest.parse_index(json.dumps(index).encode()))
    assert chosen is not None and chosen.digest == DIGEST
    assert platform.choose(manifest.parse_index(json.dumps({"manifests": [other]}).encode())) is None


@pytest.mark.parametrize(
    "document",
    [
        {"manifests": [], "layers": []}, {"manifests": [], "Config": {}}, {"manifests": 5}, {"manifests": [5]},
        {"manifests": [ENTRY | {"platform": 5}]}, {"manifests": [ENTRY | {"platform": [1]}]},
    ],
)
def test_bad_indexes_are_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse_index(json.dumps(document).encode())


def test_platforms_of_nonsense_are_none() -> None:
    index = {"manifests": [ENTRY | {"platform": {"os": 5, "architecture": ["x"]}}]}
    assert platform.choose(manifest.parse_index(json.dumps(index).encode())) is None


def test_json_is_read_as_go_reads_it() -> None:
    assert manifest.parse_json(b'{"a": 1, "a": "\\ud800x", "b": "\xff"}', "x") == {"a": "\ufffdx", "b": "\ufffd"}
    for data in (b"NaN", b"[Infinity]", b"9" * 5000, b"{} {}", b"\xef\xbb\xbf{}"):
        with pytest.raises(InvalidArgument):
            manifest.parse_json(data, "x")


def test_chains_are_named_by_their_layers() -> None:
    first, second = manifest.chain_ids([DIGEST, DIGEST])
    assert first == DIGEST and second == manifest.digest_of(f"{DIGEST} {DIGEST}".encode())

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
    ],
)
def test_bad_manifests_are_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b" " * (manifest.LIMIT + 1)])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse_config(data)


@pytest.mark.parametrize(
    "document",
    [{"rootfs": {"diff_ids": ["x"]}}, {"rootfs": []}, {"history": [1]}, {"config": [1]}, {"rootfs": {"diff_ids": 1}}],
)
def test_bad_configs_are_refused(document: Any) -> None:
    with pytest.raises(InvalidArgument):
        manifest.parse_config(json.dumps(document).encode())


def test_a_bare_config_is_enough() -> None:
    assert manifest.parse_config(b"{}")["rootfs"]["diff_ids"] == []


def test_the_platforms_own_manifest_is_chosen() -> None:
    mine = {"os": "linux", "architecture": platform.default().architecture}
    other = ENTRY | {"digest": "sha256:" + "b" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
    index = {"manifests": [other, ENTRY | {"platform": mine}]}
    chosen = platform.choose(manifest.parse_index(json.dumps(index).encode()))
    assert chosen is not None and chosen.digest == DIGEST
    assert platform.choose(manifest.parse_index(json.dumps({"manifests": [other]}).encode())) is None


def test_chains_are_named_by_their_layers() -> None:
    first, second = manifest.chain_ids([DIGEST, DIGEST])
    assert first == DIGEST and second == manifest.digest_of(f"{DIGEST} {DIGEST}".encode())

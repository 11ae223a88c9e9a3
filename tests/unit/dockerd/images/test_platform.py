"""Platforms: spellings, and what an index offers."""

from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images.manifest import OCI_MANIFEST, Descriptor
from services.dockerd.images.platform import Platform, choose, default, normal, parse, vector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("Linux/AARCH64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("windows/amd64", Platform("windows", "amd64")),
        ("arm64", Platform("linux", "arm64")),
        ("linux", default()),
    ],
)
def test_spellings(text: str, expected: Platform) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "a/b/c/d", "nonsense", "linux//x", "li nux/amd64"])
def test_nonsense(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f'"{text}"'):
        parse(text)


def entries(*platforms: dict[str, Any]) -> tuple[tuple[Descriptor, dict[str, Any]], ...]:
    return tuple((Descriptor(OCI_MANIFEST, f"sha256:{number:064}", 1), each) for number, each in enumerate(platforms))


def linux(architecture: str, variant: str = "") -> dict[str, Any]:
    return {"os": "linux", "architecture": architecture, "variant": variant}


def number(wanted: str, *offered: dict[str, Any]) -> int:
    found = choose(entries(*offered), parse(wanted))
    return int(found.digest[7:]) if found else -1


def test_the_wanted_one() -> None:
    assert number("linux/arm64", linux("amd64"), linux("arm64", "v8")) == 1
    assert number("linux/s390x", linux("amd64")) == -1


def test_the_nearest_older_variant() -> None:
    assert number("linux/arm/v7", linux("arm", "v5"), linux("arm", "v6")) == 1
    assert number("linux/arm/v5", linux("arm", "v7")) == -1
    assert number("linux/amd64/v3", linux("amd64"), linux("amd64", "v2")) == 1


def test_thirty_two_bits_on_sixty_four() -> None:
    assert number("linux/amd64", linux("386")) == 0
    assert number("linux/arm64", linux("arm", "v7")) == 0
    assert number("linux/amd64", linux("386"), linux("amd64")) == 1


def test_one_without_a_platform_is_the_last_resort() -> None:
    assert number("linux/amd64", {}, linux("amd64")) == 1
    assert number("linux/amd64", linux("s390x"), {}) == 1


def test_a_vector_begins_with_the_wish() -> None:
    for wish in (normal("linux", "amd64", "v4"), normal("linux", "arm", "v7"), normal("linux", "riscv64")):
        assert vector(wish)[0] == wish

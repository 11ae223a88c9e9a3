import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("typed", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("me/app:v1", "docker.io/me/app:v1", "me/app:v1"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("r.example.com/a/b_c/d--e", "r.example.com/a/b_c/d--e", "r.example.com/a/b_c/d--e"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:x@{DIGEST}", f"docker.io/library/busybox:x@{DIGEST}", f"busybox:x@{DIGEST}"),
    ],
)
def test_names_are_normalised(typed: str, full: str, familiar: str) -> None:
    parsed = reference.parse(typed)
    assert (str(parsed), parsed.familiar) == (full, familiar)


@pytest.mark.parametrize(
    "typed", ["", ":", "a:", "a@", "-a", "a//b", "a b", "a:b c", "a:" + "t" * 129, "a@sha256:ab", "/a"]
)
def test_nonsense_is_refused(typed: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid reference format"):
        reference.parse(typed)


def test_upper_case_says_so() -> None:
    with pytest.raises(InvalidArgument, match=r"repository name \(library/Busybox\) must be lowercase"):
        reference.parse("Busybox")


def test_an_id_is_no_name() -> None:
    with pytest.raises(InvalidArgument, match="64-byte hexadecimal"):
        reference.parse("a" * 64)


def test_latest_is_the_default_tag() -> None:
    assert reference.parse("busybox").tagged().tag == "latest"
    assert reference.parse(f"busybox@{DIGEST}").tagged().tag == ""


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("busybox", True),
        ("busy*", True),
        ("busybox:1.*", True),
        ("busybox:2", False),
        ("*/busybox", False),
        ("b?sybox", True),
        ("[a-c]usybox", True),
        ("[^b]usybox", False),
        ("*/*/busybox", False),
        ("docker.io/library/busybox", False),
        ("busy\\*", False),
    ],
)
def test_filters_match_as_shell_patterns(pattern: str, hit: bool) -> None:
    assert reference.matches(reference.parse("busybox:1.36"), pattern) is hit


@pytest.mark.parametrize("pattern", ["[", "[]", "[a-", "a\\"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="syntax error in pattern"):
        reference.matches(reference.parse("busybox:1.36"), pattern)

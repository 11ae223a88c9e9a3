import pytest

from protos import errdefs
from services.containerd import identifiers


@pytest.mark.parametrize("name", ["a", "moby", "a.b-c_d", "0" * 64, "k8s.io"])
def test_good_name_passes(name: str) -> None:
    assert identifiers.check(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "a/b", "..", "a b", "é", "a" * 77, "a\n"])
def test_bad_name_is_refused(name: str) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        identifiers.check(name)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:../../etc/x"])
def test_bad_digest_is_refused(digest: str) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        identifiers.check_digest(digest)


def test_long_label_is_refused() -> None:
    identifiers.check_label("k", "v" * 4095)
    with pytest.raises(errdefs.InvalidArgument, match="maximum size"):
        identifiers.check_label("k", "v" * 4096)

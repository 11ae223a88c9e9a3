import pytest

from protos.errdefs import InvalidArgument
from protos.idmap import OVERFLOW, Mapping, Owners, Range, plain_capability

TWO = Mapping((Range(0, 1000, 10), Range(10, 5000, 5)))


def test_ranges_follow_one_another() -> None:
    assert [TWO.to_host(each) for each in (0, 9, 10, 14)] == [1000, 1009, 5000, 5004]
    assert [TWO.to_container(each) for each in (1000, 1009, 5000, 5004)] == [0, 9, 10, 14]


def test_text_comes_back() -> None:
    assert str(TWO) == "0:1000:10,10:5000:5"
    assert Mapping.parse(str(TWO)) == TWO


def test_beyond_the_ranges_is_nobody() -> None:
    assert TWO.to_container(0) == TWO.to_container(1010) == OVERFLOW
    with pytest.raises(InvalidArgument, match="Container ID 15 cannot be mapped to a host ID"):
        TWO.to_host(15)


@pytest.mark.parametrize("text", ["", "0", "0:1", "0:1:0", "a:b:c", "0:1:2:3", "-1:0:1", "0:4294967295:1"])
def test_malformed_map_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid id map"):
        Mapping.parse(text)


def test_root_has_an_owner_for_each_kind() -> None:
    owners = Owners(Mapping.parse("0:7:1"), Mapping.parse("0:8:1"))
    assert owners.root == (7, 8) == owners.to_host(0, 0)
    assert owners.to_container(7, 9) == (0, OVERFLOW)


def test_capability_loses_its_root() -> None:
    words = bytes(range(16))
    assert plain_capability(b"\x01\0\0\x03" + words + b"\xe8\x03\0\0") == b"\x01\0\0\x02" + words
    assert plain_capability(b"\x01\0\0\x02" + words) == b"\x01\0\0\x02" + words

import pytest

from services.shim.streams.keys import DetachKeys

KEYS = b"\x10\x11"


@pytest.mark.parametrize("typed", [[b"ab\x10\x11cd"], [b"ab\x10", b"\x11cd"], [b"ab", b"\x10", b"\x11", b"cd"]])
def test_keys_detach(typed: list[bytes]) -> None:
    keys, passed = DetachKeys(KEYS), b""
    for data in typed:
        given, detached = keys.feed(data)
        passed += given
        if detached:
            break
    assert (passed, detached) == (b"ab", True)


def test_broken_sequence_is_input() -> None:
    keys = DetachKeys(KEYS)
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"b") == (b"\x10b", False)


def test_sequence_held_back_at_the_end() -> None:
    keys = DetachKeys(KEYS)
    keys.feed(b"a\x10")
    assert keys.rest() == b"\x10"
    assert keys.rest() == b""


def test_one_key_is_enough() -> None:
    assert DetachKeys(b"q").feed(b"abq") == (b"ab", True)


def test_without_keys_everything_passes() -> None:
    assert DetachKeys(b"").feed(b"\x10\x11") == (b"\x10\x11", False)


def test_plain_input_passes_untouched() -> None:
    data = b"hello"
    assert DetachKeys(KEYS).feed(data)[0] is data

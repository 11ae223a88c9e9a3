from services.shim.streams.stdcopy import header


def test_header_is_dockers() -> None:
    assert header("stdout", 5) == b"\x01\0\0\0\0\0\0\x05"
    assert header("stderr", 0x01020304) == b"\x02\0\0\0\x01\x02\x03\x04"

import os
import socket
import struct
from pathlib import Path

import pytest

from services.shim.logger.packet import Entry
from services.shim.logger.pieces import Piece
from services.shim.logger.sinks import journald
from services.shim.logger.sinks.journald import Journald

PIECE = Piece("a" * 64, 2, False)


def test_fields_of_a_line() -> None:
    assert journald.message(Entry("stderr", 10**9, b"text"), 5) == (
        b"MESSAGE=text\nPRIORITY=3\nSYSLOG_TIMESTAMP=1970-01-01T00:00:01Z\nCONTAINER_LOG_ORDINAL=5\n"
    )


def test_fields_of_a_piece() -> None:
    assert journald.message(Entry("stdout", 1, b"", PIECE), 1).endswith(
        b"CONTAINER_PARTIAL_ID=%s\nCONTAINER_PARTIAL_ORDINAL=2\nCONTAINER_PARTIAL_LAST=false\n"
        b"CONTAINER_PARTIAL_MESSAGE=true\n" % (b"a" * 64)
    )


def test_a_newline_needs_a_length() -> None:
    assert journald.field("X", b"a\nb") == b"X\n" + struct.pack("<Q", 3) + b"a\nb\n"


def test_long_datagrams_go_as_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        target = Journald({"LONG": "x" * 2_000_000}, path)
        target.open()
        assert target.send([Entry("stdout", 1, b"text")]) == 0
        data, descriptors, _, _ = socket.recv_fds(journal, 10, 1)
        with os.fdopen(descriptors[0], "rb") as file:
            file.seek(0)
            text = file.read()
    target.close()
    assert data == b"" and text.startswith(b"MESSAGE=text\n") and b"LONG=xxx" in text


def test_without_a_journal_lines_are_lost(tmp_path: Path) -> None:
    target = Journald({}, str(tmp_path / "nobody"))
    with pytest.raises(OSError, match="journald is not enabled on this host"):
        target.open()
    assert target.send([Entry("stdout", 1, b"a"), Entry("stdout", 1, b"b")]) == 2
    target.close()
    assert "no such file or directory" in target.reason

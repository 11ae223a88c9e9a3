from pathlib import Path

import pytest

from services.shim.process import record
from services.shim.reaper import Exit


def test_reads_what_was_written(tmp_path: Path) -> None:
    record.write(tmp_path, Exit(7, 137, 1_700_000_000_123_456_789))
    assert record.read(tmp_path) == Exit(7, 137, 1_700_000_000_123_456_789)
    assert [each.name for each in tmp_path.iterdir()] == [record.NAME]


def test_no_record_no_exit(tmp_path: Path) -> None:
    assert record.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "status": 1, "at": 1}'])
def test_torn_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / record.NAME).write_text(text)
    assert record.read(tmp_path) is None

"""What a daemon under test is told: the same options as flags, or by daemon.json."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BY = ("flags", "file")
Row = tuple[tuple[str, ...], str, Any]
"""Flags, and the key and value that say the same; "" for several keys in an object."""


def words(by: str, rows: Iterable[Row], file: Path) -> list[str]:
    """For the command line; by file it names one that says all of it."""
    if by == "flags":
        return [word for flags, _, _ in rows for word in flags]
    document: dict[str, Any] = {}
    for _, key, value in rows:
        document |= {key: value} if key else value
    file.write_text(json.dumps(document))
    return ["--config-file", str(file)]

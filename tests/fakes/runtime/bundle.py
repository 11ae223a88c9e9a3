"""Bundles for the fake runtime, and what it was asked."""

import json
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("runtime.py")


class Bundle:
    def __init__(self, path: Path, *args: str) -> None:
        self.path = path
        self.root = path / "records"
        path.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps({"process": {"args": list(args)}}))

    def fail(self, verb: str, message: str) -> None:
        (self.root / f"fail-{verb}").write_text(message)

    def calls(self) -> list[dict[str, Any]]:
        path = self.root / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verbs(self) -> list[str]:
        return [call["words"]["verb"] for call in self.calls()]

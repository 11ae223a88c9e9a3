"""The directory that a layer is unpacked into, or read from."""

from dataclasses import dataclass
from pathlib import Path

from services.containerd.diff.whiteout import Form


@dataclass(frozen=True, slots=True)
class Layer:
    """A directory that holds one layer, or a whole tree."""

    path: Path
    parents: tuple[Path, ...] = ()
    form: Form = Form.GONE
    """Of the whiteouts in it; a whole tree has none."""

"""The control group all containers lie in, where it is the engine's own: made by the runtime, removed at the end."""

import contextlib
from pathlib import Path
from typing import Final

PARENT: Final = "docker"
ROOT: Final = Path("/sys/fs/cgroup")


def remove_parent(root: Path = ROOT) -> None:
    """Remove /docker of every hierarchy, unless something is in it. A `--cgroup-parent` is the administrator's."""
    for hierarchy in (root, *root.iterdir()):
        with contextlib.suppress(OSError):
            (hierarchy / PARENT).rmdir()

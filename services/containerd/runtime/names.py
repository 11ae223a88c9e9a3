"""Which program is the shim of a runtime: containerd's names, or an absolute path. Pure but for the look at $PATH."""

import re
import shutil
from pathlib import Path
from typing import Final

from protos import errdefs

_OURS: Final = frozenset({"io.containerd.runc.v2", "io.containerd.runc.v1", "io.containerd.runtime.v1.linux"})
_NAME: Final = re.compile(r"(?:[\w-]+\.)*([\w-]+)\.(v[0-9]+)")


def program_of(runtime: str, ours: Path) -> Path:
    """InvalidArgument where the name is none, NotFound where its shim is not installed."""
    if runtime in _OURS:
        return ours
    if runtime.startswith("/"):
        path = Path(runtime)
        if not path.exists():
            raise errdefs.NotFound(f"runtime {runtime}: no such shim")
        return ours if ours.exists() and path.samefile(ours) else path
    name = _NAME.fullmatch(runtime)
    if name is None:
        raise errdefs.InvalidArgument(f'invalid runtime "{runtime}": give a name like io.containerd.runc.v2, or a path')
    binary = f"containerd-shim-{name[1]}-{name[2]}"
    found = shutil.which(binary)
    if found is None:
        raise errdefs.NotFound(f'runtime "{runtime}" is not installed: {binary} is not in $PATH')
    return Path(found)

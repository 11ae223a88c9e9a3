"""What an OCI runtime says it can (`<runtime> features`), asked once for each program."""

import asyncio
import contextlib
import json
from typing import Any, Final

from services.dockerd.oci.facts import facts
from services.dockerd.programs import which

PATIENCE: Final = 5.0
_known: dict[str, frozenset[str]] = {}


async def readonly_problem(program: str, name: str) -> str:
    """Why kernel or runtime cannot make a mount read-only with all mounts beneath it; "" where they can."""
    if facts().kernel < (5, 12):
        return "rro is not supported: the kernel is older than 5.12"
    options = await mount_options(program)
    if not options:
        return f'rro is not supported by runtime "{name}": OCI features struct is not available'
    return "" if "rro" in options else f'rro is not supported by runtime "{name}"'


async def mount_options(runtime: str) -> frozenset[str]:
    """Mount options the runtime knows; none where it does not tell."""
    path = which(runtime)
    if path and path not in _known:
        document = await _ask(path)
        options = document.get("mountOptions") if isinstance(document, dict) else None
        _known[path] = frozenset(options) if isinstance(options, list) else frozenset()
    return _known.get(path, frozenset())


async def _ask(path: str) -> Any:
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        child = await asyncio.create_subprocess_exec(
            path, "features", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                answer, _ = await child.communicate()
            return json.loads(answer)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    return None

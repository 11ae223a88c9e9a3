"""A further process in a container: registered by `exec`, started by `runc exec --detach`."""

import json
import re
from pathlib import Path
from typing import Final

from protos.errdefs import InvalidArgument
from services.shim.loop import Loop
from services.shim.process.process import Process, write_private
from services.shim.reaper import Reaper
from services.shim.runtime import Runtime
from services.shim.streams.factory import Request
from services.shim.streams.stdio import Stdio

_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")  # a part of file names


class Exec(Process):
    def __init__(self, name: str, request: Request, stdio: Stdio, document: bytes) -> None:
        """`document` is the OCI process. InvalidArgument where it or the name is none."""
        if not _NAME.fullmatch(name) or len(name) > 76:
            raise InvalidArgument(f"exec id {name!r} is not an identifier")
        try:
            json.loads(document)
        except ValueError as error:
            raise InvalidArgument(f"the process of exec {name} is not JSON: {error}") from error
        super().__init__(name, request, stdio)
        self._document = document

    async def start(self, loop: Loop, reaper: Reaper, runtime: Runtime, bundle: Path) -> None:
        """The exit of what was started may come before its pid is known; the reaper keeps it."""
        document, pid_file = bundle / f"{self.name}-process.json", bundle / f"{self.name}.pid"
        write_private(document, self._document)
        console = self.listen(loop, bundle)
        try:
            with reaper.keep():
                await runtime.exec(document, pid_file, self.descriptors(), console.address if console else None)
                await self.adopt(loop, reaper, pid_file, console)
        finally:
            if console is not None:
                console.close()
            document.unlink()
            pid_file.unlink(missing_ok=True)

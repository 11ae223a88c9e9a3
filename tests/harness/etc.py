"""An /etc of one's own: a mount namespace whose /etc is a copy, for daemons that add users."""

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness import leftovers

SCRIPT = 'cp -a /etc "$0/etc" && mount --bind "$0/etc" /etc && echo ready && exec sleep infinity'


class Etc:
    """`lines` are appended to files of /etc, by name; give `pid` to `Engine(within=…)`."""

    def __init__(self, lines: dict[str, str]) -> None:
        self.lines = lines
        self.place = leftovers.directory("etc")

    def __enter__(self) -> Self:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, str(self.place)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.process.stdout and self.process.stdout.readline() == b"ready\n"
        for name, text in self.lines.items():
            with self.path(name).open("a") as file:
                file.write(text)
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def path(self, name: str) -> Path:
        return self.place / "etc" / name

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.place)

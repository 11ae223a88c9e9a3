"""A command on a pseudo-terminal, driven as a person would: wait for text, type, resize."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType


class Terminal:
    """`with Terminal([...], env) as term: term.expect("#"); term.send("ls\\r"); code = term.wait()`."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.child = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env={**env, "TERM": "xterm"}, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.kill()
        self.child.wait(10)
        os.close(self.master)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, timeout: float) -> bool:
        """Takes in what there is; False at end of the terminal or when nothing came in time."""
        ready, _, _ = select.select([self.master], [], [], max(timeout, 0))
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += self.decoder.decode(data)
        return bool(data)

    def expect(self, pattern: str, timeout: float = 30) -> "re.Match[str]":
        """Waits until `pattern` is on the screen, and forgets all up to it."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            if left <= 0 or not (self.read(left) or self.child.poll() is None):
                raise AssertionError(f"{pattern!r} not seen within {timeout} s in {self.seen!r}")
        self.seen = self.seen[found.end() :]
        return found

    def wait(self, timeout: float = 30) -> int:
        """The exit code, after reading what is left."""
        deadline = time.monotonic() + timeout
        while self.child.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"no end within {timeout} s, seen {self.seen!r}")
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.child.returncode

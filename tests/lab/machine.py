"""A machine with Debian's kernel, emulated by qemu: control groups v2 (or v1), AppArmor and device-mapper, which the
machine that runs the tests may lack. It sees this one's files, and what it writes is gone when it goes.

Commands go in, outputs and exit codes come back, over one virtio port (agent.py). Nothing of it listens anywhere.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.agent import PORT
from tests.lab.kernel import ROOT, Kernel

BOOT = 180.0
MEMORY = "3G"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Done:
    words: tuple[str, ...]
    code: int | None
    output: str

    def __str__(self) -> str:
        word = "no end within its time" if self.code is None else f"code {self.code}"
        return f"lab$ {' '.join(self.words)}\n{self.output}\n{word}"


class Machine:
    """Booted when it is entered, gone when it is left."""

    def __init__(self, kernel: Kernel, cgroups: int = 2) -> None:
        self.kernel = kernel
        self._cgroups = cgroups
        self._console = tempfile.TemporaryFile()  # noqa: SIM115
        self._rest = b""

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        self._port = ours
        with theirs:
            self._qemu = subprocess.Popen(
                self._command(theirs.fileno()), pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
                stdout=self._console, stderr=subprocess.STDOUT, start_new_session=True,
            )
        try:
            self.release = self._receive(BOOT)["kernel"]
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, port: int) -> list[str]:
        words = {
            "console": "ttyS0", "panic": "-1", "loglevel": "4", "apparmor": "1", "security": "apparmor",
            "lab.cgroup": self._cgroups, "lab.root": ROOT, "lab.modules": self.kernel.modules,
            "lab.python": Path(sys.executable).absolute(),
        }
        return [
            "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-nographic", "-accel", "tcg,thread=multi",
            "-cpu", "max", "-smp", "2", "-m", MEMORY, "-serial", "stdio",
            "-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initramfs),
            "-append", " ".join(f"{key}={value}" for key, value in words.items()),
            "-fsdev", "local,id=machine,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=machine,mount_tag=machine",
            "-chardev", f"socket,id=port,fd={port}",
            "-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=port,name={PORT}",
        ]

    def run(self, *words: str, timeout: float = 120, env: dict[str, str] | None = None) -> Done:
        """Runs a command as root in the repository; `timeout` is of the machine's own, slower time."""
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{PATH}", "HOME": "/root", "TMPDIR": "/dev/shm",
            "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", "PATIENCE": "4", **(env or {}),
        }
        request = {"words": words, "env": environment, "cwd": str(ROOT), "timeout": timeout}
        self._port.sendall(json.dumps(request).encode() + b"\n")
        answer = self._receive(timeout + 30)
        return Done(words, answer["code"], answer["output"])

    def _receive(self, timeout: float) -> dict[str, str]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._rest:
            left = max(deadline - time.monotonic(), 0)
            ready, _, _ = select.select([self._port], [], [], left)
            chunk = self._port.recv(65536) if ready else b""
            if not chunk:
                word = "has gone off" if ready else f"said nothing for {timeout:.0f} s"
                raise AssertionError(f"the lab's machine {word}; its console ends:\n{self.console()}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, str] = json.loads(line)
        return found

    def console(self, lines: int = 60) -> str:
        text = os.pread(self._console.fileno(), 1 << 20, 0).decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        self._port.close()
        self._qemu.kill()
        self._qemu.wait()
        self._console.close()

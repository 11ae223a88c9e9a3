"""A docker-containerd of one's own, driven by the real `ctr`; or Debian's containerd in its place, to prove a test."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.harness.wait import until

PROGRAM = Path(sys.executable).parent / "docker-containerd"
CTR, CONTAINERD = shutil.which("ctr"), shutil.which("containerd")
START = 40.0


class Daemon:
    """A context: started on entering, ended and removed with all it left on leaving."""

    def __init__(self, *flags: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cd-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.root, self.state = self.home / "root", self.home / "state"
        self.address = self.home / "c.sock"
        self.log = self.home / "log"
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self.home)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> str:
        """Start it; what it said when it was ready, or why it is not."""
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        command = [
            PROGRAM, "--root", self.root, "--state", self.state, "--address", self.address,
            "--ready-fd", str(writing), *self.flags,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, close_fds=False, stderr=log, start_new_session=True)
        os.close(writing)
        try:
            assert select.select([reading], [], [], START)[0], f"not ready: {self.log.read_text()}"
            return os.read(reading, 4096).decode().strip()
        finally:
            os.close(reading)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, however; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(START)

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        assert self.start() == "ready"

    # The real client

    def ctr(self, *words: str, namespace: str = "default", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self.client(namespace), *words], capture_output=True, input=stdin, timeout=60)

    def client(self, namespace: str = "default") -> list[str]:
        return [CTR or "ctr", "-a", str(self.address), "-n", namespace, "--connect-timeout", "5s"]

    def ok(self, *words: str, namespace: str = "default", stdin: bytes = b"") -> str:
        done = self.ctr(*words, namespace=namespace, stdin=stdin)
        log = self.log.read_text()[-2000:]
        assert done.returncode == 0, f"ctr {' '.join(words)}: {done.stderr.decode()} (log: {log})"
        return done.stdout.decode()

    def fails(self, *words: str, namespace: str = "default", stdin: bytes = b"") -> str:
        done = self.ctr(*words, namespace=namespace, stdin=stdin)
        assert done.returncode != 0, f"ctr {' '.join(words)} should fail, said {done.stdout.decode()}"
        return done.stderr.decode()

    def rows(self, *words: str) -> list[list[str]]:
        """A table without its head."""
        return [line.split() for line in self.ok(*words).splitlines()[1:]]

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words))


class Reference(Daemon):
    """Debian's containerd, as far as it is installed."""

    def start(self) -> str:
        config = self.home / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{self.root}"\nstate = "{self.state}"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{self.address}"\n'
        )
        with self.log.open("ab") as log:
            command = [CONTAINERD or "containerd", "-c", config]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until(lambda: self.address.exists() and self.ctr("version").returncode == 0, "containerd serves")
        return "ready"

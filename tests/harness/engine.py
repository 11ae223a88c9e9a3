"""An engine of one's own: in a network namespace, with data root, exec root, socket, pid file and cgroup of its own.

`ENGINE=reference` makes it Debian's docker.io with its own containerd, so that the tests themselves are proven.
Ready is a message: NOTIFY_SOCKET, which both engines speak.
"""

import atexit
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from deploy import image
from protos import trees
from tests.harness import given, leftovers
from tests.harness.cli import Docker
from tests.harness.http import API
from tests.harness.netns import Namespace, join
from tests.harness.wait import PATIENCE, until

REFERENCE = os.environ.get("ENGINE") == "reference"
ROOTS = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
START = 40.0 * PATIENCE
STOP = 60.0 * PATIENCE
GONE = 2.0 * PATIENCE
"""Seconds that the last processes may take: those of a zygote that was killed in its rehearsal end by themselves."""
SUBNET = "198.18.0"
NEIGHBOUR, HOST = f"{SUBNET}.2", f"{SUBNET}.1"


def binary(reference: bool) -> str:
    if reference:
        found = shutil.which("dockerd", path="/usr/sbin:/usr/bin")
        return found or missing("Debian's dockerd", "apt-get install docker.io")
    ours = Path(sys.executable).parent / "dockerd"
    return str(ours) if ours.exists() else missing("our dockerd", "make test")


def missing(what: str, how: str) -> str:
    raise AssertionError(f"{what} is not installed: {how}")


class Engine:
    """One daemon and all it started. `kill` and `start` again as often as a test likes; `close` leaves nothing."""

    def __init__(
        self, *flags: str, reference: bool = REFERENCE, size: str = "", env: dict[str, str] | None = None,
        without: str = "", within: int = 0,
    ) -> None:
        """`without`: a mount that the daemon and all below it, in a mount namespace of their own, do not see.

        `within`: a process whose mount namespace they live in.
        """
        self.reference = reference
        self.flags = list(flags)
        self.without, self.within = without, within
        self.environment = dict(env or {})
        self.root = Path(tempfile.mkdtemp(prefix="e2e-", dir=ROOTS))
        self.name = self.root.name
        self.network = Namespace(self.name)
        self.neighbour = Namespace(f"{self.name}-n")
        join(self.network, self.neighbour, SUBNET)
        self.network.ip("route", "add", "default", "via", NEIGHBOUR)
        self.data, self.exec, self.pidfile = self.root / "data", self.root / "exec", self.root / "pid"
        self.data.mkdir(mode=0o711)
        if size:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "e2e", self.data], check=True)
        self.socket = self.root / "d.sock"
        self.log = self.root / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.docker = Docker(f"unix://{self.socket}")
        self.api = API(str(self.socket))

    def __enter__(self) -> "Engine":
        try:
            self.start()
            self.load()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, *flags: str) -> list[str]:
        places = [
            "--data-root",
            self.data,
            "--exec-root",
            self.exec,
            "-H",
            f"unix://{self.socket}",
            "--pidfile",
            self.pidfile,
        ]
        words = [binary(self.reference), *map(str, places), "--cgroup-parent", f"/{self.name}", *self.flags, *flags]
        if self.without:
            words = ["unshare", "--mount", "sh", "-c", 'umount "$0" && exec "$@"', self.without, *words]
        if self.within:
            words = ["nsenter", f"--mount=/proc/{self.within}/ns/mnt", "--", *words]
        return self.network.command(*words)

    def start(self, *flags: str, timeout: float = START) -> None:
        """Starts the daemon and waits for its word; AssertionError with the log's end when it dies instead."""
        command = self.command(*flags)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            path = self.root / "notify"
            path.unlink(missing_ok=True)
            notify.bind(str(path))
            env = {**os.environ, **self.environment, "NOTIFY_SOCKET": str(path)}
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=env,
                    start_new_session=True,
                )
            self.await_ready(notify, timeout)
        given.started(command)

    def await_ready(self, notify: socket.socket, timeout: float) -> None:
        assert self.process
        gone = os.pidfd_open(self.process.pid)
        deadline = time.monotonic() + timeout
        try:
            while True:
                ready, _, _ = select.select([notify.fileno(), gone], [], [], max(deadline - time.monotonic(), 0))
                if notify.fileno() in ready and b"READY=1" in notify.recv(4096):
                    return
                if gone in ready or not ready:
                    word = f"ended with {self.process.wait()}" if gone in ready else f"said nothing for {timeout} s"
                    raise AssertionError(f"the daemon {word}; its log ends:\n{self.tail()}")
        finally:
            os.close(gone)

    def fails_to_start(self, *flags: str, timeout: float = START) -> tuple[int, str]:
        """Exit code and output of a daemon that should refuse to start."""
        command = self.command(*flags)
        done = subprocess.run(command, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if done.returncode:
            given.refused(command)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def load(self) -> None:
        self.docker.ok("load", "-q", "-i", str(busybox()))

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def says(self, text: str) -> None:
        """Waits until the daemon's log has it."""
        until(lambda: text in self.log.read_text(errors="replace"), f"the log says {text!r}")

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def stop(self, timeout: float = STOP) -> int:
        """SIGTERM, and the exit code."""
        if not self.process:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)
            raise AssertionError(f"no end {timeout} s after SIGTERM; the log ends:\n{self.tail()}") from None
        self.process = None
        return code

    def kill(self, pid: int = 0) -> None:
        """SIGKILL to the daemon, or to another of its processes; returns once it is gone."""
        if pid:
            gone = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(gone, signal.SIGKILL)
                assert select.select([gone], [], [], 10)[0], f"{pid} survives SIGKILL"
            finally:
                os.close(gone)
        elif self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def restart(self, *flags: str) -> None:
        self.stop()
        self.start(*flags)

    def pids(self, program: str) -> list[int]:
        """Processes of this engine by the base name of their program, oldest first."""
        return [pid for pid in leftovers.processes(self.network.inode()) if program in leftovers.names(pid)]

    def containerd(self) -> int:
        wanted = "containerd" if self.reference else "docker-containerd"
        return until(lambda: self.pids(wanted), f"{wanted} runs")[0]

    def unpackers(self) -> list[int]:
        """docker-containerd's processes that unpack layers, warm or about to be."""
        parent = self.containerd()
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        lines = {int(child): leftovers.cmdline(int(child)) for child in children}
        return [pid for pid, line in lines.items() if "docker-unpack" in line or "diff.worker" in line]

    def has_containerd(self) -> bool:
        """Whether docker-containerd serves, which it does once it has put its root in order."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            return client.connect_ex(str(self.exec / "containerd/containerd.sock")) == 0

    def remains(self) -> list[str]:
        """What a stopped engine has left: empty when all is well."""
        deadline = time.monotonic() + GONE
        while (found := leftovers.find(self.name, self.root, self.network)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def close(self) -> None:
        """Ends everything by force, whatever state it is in."""
        self.kill()
        leftovers.sweep(self.name, self.root, self.network)
        self.network.delete()
        self.neighbour.delete()
        self.docker.close()
        with contextlib.suppress(OSError):
            trees.remove(self.root)


def busybox() -> Path:
    """The docker archive of busybox:latest, made once in a run."""
    path = Path(tempfile.gettempdir()) / f"busybox-{os.getpid()}.tar"
    if not path.exists():
        path.write_bytes(image.archive())
        atexit.register(path.unlink, missing_ok=True)
    return path

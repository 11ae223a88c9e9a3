"""A machine within this one: a process 1 of its own, own namespaces, own control groups, `/` as an overlay.

Debian's systemd as process 1 reaches nothing of the machine itself: of its own units only the journal is started.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.wait import PATIENCE, until

SYSTEMD = Path("/lib/systemd/systemd")
HERE = Path(__file__).parents[2]
"""This checkout, which may lie in a place that is covered, or on a file system of its own."""
PLACES = "/opt/dockerd/bin:/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin"

SCRIPT = r"""
set -e
root=$1/root
mount -t tmpfs -o mode=755 tmpfs $1
mkdir $1/upper $1/work $root
mount -t overlay -o lowerdir=/,upperdir=$1/upper,workdir=$1/work overlay $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
while read type options target; do
    [ $target = /sys/fs/cgroup ] || mountpoint -q $root/sys/fs/cgroup || mount -t tmpfs tmpfs $root/sys/fs/cgroup
    mkdir -p $root$target
    mount -t $type -o $options $type $root$target
done <$1.cgroups
mount --rbind /dev $root/dev
for place in run tmp var/lib/docker var/lib/docker-containerd; do
    mkdir -p $root/$place
    mount -t tmpfs tmpfs $root/$place
done
mkdir -p $root$4
mount --bind $4 $root$4
ip link set lo up
cd $root
rm -rf etc/systemd/system usr/lib/systemd/system/*.target.wants usr/lib/systemd/system-generators
cp -a $2/. .
mkdir .old
pivot_root . .old
umount -l /.old
path=$3
shift 4
exec env -i container=test PATH=$path "$@"
"""


class Machine:
    """`files` by absolute path are laid over the root, `-> target` as links; `command` is process 1."""

    def __init__(self, files: dict[str, str], *command: str) -> None:
        self.command = command
        self.root = Path(tempfile.mkdtemp(prefix="e2e-", dir="/dev/shm"))
        self.name = self.root.name
        self.files = self.root.with_name(f"{self.name}.files")
        for path, text in files.items():
            place = self.files / path.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                place.symlink_to(text.removeprefix("-> "))
            else:
                place.write_text(text)
                place.chmod(0o755 if text.startswith("#!") else 0o644)
        self.process: subprocess.Popen[bytes] | None = None
        self.init = 0

    def __enter__(self) -> Self:
        mounts = list(hierarchies())
        listed = self.root.with_name(f"{self.name}.cgroups")
        listed.write_text("".join(f"{kind} {options} {target}\n" for kind, options, target in mounts))
        groups = [self.group(target) for _, _, target in mounts]
        for group in groups:
            _hand_on(group.parent)
            group.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # v1: nobody may join a group without any
                if (group / name).exists() and (group.parent / name).exists():
                    (group / name).write_text((group.parent / name).read_text())

        def join() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        words = ["unshare", "-m", "-p", "-f", "-C", "-i", "-n", "-u", "--kill-child", "--propagation", "private", "--"]
        log = self.log.open("wb")
        self.process = subprocess.Popen(
            [*words, "sh", "-c", SCRIPT, "sh", self.root, self.files, PLACES, HERE, *self.command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=join, start_new_session=True,
        )  # fmt: skip
        log.close()
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.init = int(until(children.read_text, "process 1 lives").split()[0])
        for kind, _, target in mounts:
            if kind == "cgroup2":  # a group that somebody lives in hands no controllers on
                (Path(target) / "cgroup.procs").write_text(str(self.process.pid))
        until(self.booted, "the machine has booted", 30)
        return self

    def booted(self) -> bool:
        """Process 1 is no longer the script."""
        return self("true").returncode == 0 and b"pivot_root" not in Path(f"/proc/{self.init}/cmdline").read_bytes()

    @property
    def log(self) -> Path:
        return self.root.with_name(f"{self.name}.log")

    def said(self) -> str:
        """What process 1 and those below it have written."""
        return self.log.read_text(errors="replace")

    def group(self, target: str) -> Path:
        return Path(target) / self.name

    def __call__(self, *words: str, stdin: bytes = b"", timeout: float = 60) -> "subprocess.CompletedProcess[bytes]":
        """Runs a command within."""
        command = ["nsenter", "-t", str(self.init), "-m", "-p", "-i", "-n", "-u", "-C", "--", *words]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout * PATIENCE)

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout!r} {done.stderr!r}\n{self.said()}"
        return done.stdout.decode().strip()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process:
            self.process.kill()  # and with it, by --kill-child, process 1 and all that is within
            self.process.wait(10)
        for _, _, target in hierarchies():
            until(functools.partial(empty, self.group(target)), "control groups are empty")
        for path in self.root.parent.glob(f"{self.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Systemd(Machine):
    """`wanted` units are started at boot."""

    def __init__(self, files: dict[str, str], *wanted: str) -> None:
        target = f"[Unit]\nDescription=Test\nWants={' '.join(wanted)} systemd-journald.service\n"
        files = files | {"/etc/systemd/system/test.target": target}
        super().__init__(files, str(SYSTEMD), "--system", "--unit=test.target")

    def booted(self) -> bool:
        return self("systemctl", "is-active", "test.target").stdout == b"active\n"

    def show(self, unit: str, name: str) -> str:
        return self.ok("systemctl", "show", "--value", "-p", name, unit)

    def said(self) -> str:
        return self("journalctl", "--no-pager", "-n", "500", "-o", "cat").stdout.decode(errors="replace")


def hierarchies() -> Iterator[tuple[str, str, str]]:
    """Type, mount options and place of each control group file system of this machine."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        target = before.split()[4]
        if kind in ("cgroup", "cgroup2") and target.startswith("/sys/fs/cgroup"):
            given = ",".join(word for word in options.split(",") if word not in ("rw", "ro"))
            yield kind, f"none,{given}" if given.startswith("name=") else given or "rw", target


def _hand_on(group: Path) -> None:
    """All controllers that a group of v2 has, to those below it; v1 knows no such thing."""
    names = group / "cgroup.controllers"
    if names.exists():
        wanted = " ".join(f"+{name}" for name in names.read_text().split())
        (group / "cgroup.subtree_control").write_text(wanted)


def empty(group: Path) -> bool:
    """Removes a group with all below; False while something lives there."""
    if not group.exists():
        return True
    try:
        for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            path.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True

"""Debian's own kernel, fetched and unpacked without being installed, once; and the small root it boots from."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".lab"
NEEDED = ("virtio_pci", "virtio_console", "9p", "9pnet_virtio", "overlay")
"""Modules without which the machine's file system and its one port cannot be reached."""
PROGRAMS = ("qemu-system-x86_64", "apt-get", "dpkg-deb", "depmod", "modprobe")


class Missing(Exception):
    """Why there can be no lab here."""


@dataclass(frozen=True, slots=True)
class Kernel:
    place: Path
    version: str

    @property
    def image(self) -> Path:
        return self.place / f"boot/vmlinuz-{self.version}"

    @property
    def modules(self) -> Path:
        return self.place / "lib/modules"

    @property
    def initramfs(self) -> Path:
        return self.place / "initramfs"


def kernel() -> Kernel:
    """The kernel in the cache, put there if it is not; Missing where that fails."""
    if platform.machine() != "x86_64":
        raise Missing(f"the lab boots an x86-64 kernel, this machine is {platform.machine()}")
    if os.geteuid() != 0:
        raise Missing("the lab shows the files of this machine to another as root: it needs root")
    for program in PROGRAMS:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Missing(f"{program} is not installed: deploy/install --dev")
    found = sorted(CACHE.glob("linux-image-*/boot/vmlinuz-*"))
    if not found:
        _fetch()
        found = sorted(CACHE.glob("linux-image-*/boot/vmlinuz-*"))
    image = found[-1]
    ready = Kernel(image.parents[1], image.name.removeprefix("vmlinuz-"))
    ready.initramfs.write_bytes(archive(_contents(ready)))
    return ready


def _fetch() -> None:
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        package = _package()
        try:
            _run("apt-get", "download", "-qq", package, cwd=place)
        except Missing:
            _run("apt-get", "update", "-qq")
            _run("apt-get", "download", "-qq", package := _package(), cwd=place)
        tree = place / package
        _run("dpkg-deb", "-x", str(next(place.glob("*.deb"))), str(tree))
        version = next((tree / "lib/modules").iterdir()).name
        _run("depmod", "-b", str(tree), version)
        tree.rename(CACHE / package)


def _package() -> str:
    """The package that linux-image-amd64 stands for."""
    for line in _run("apt-cache", "depends", "linux-image-amd64").splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    raise Missing("apt knows no linux-image-amd64: it is Debian's")


def _run(*words: str, cwd: Path | None = None) -> str:
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Missing(f"{' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _contents(ready: Kernel) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content of all that is in the initramfs."""
    for name in ("bin", "dev", "host", "proc", "modules", "over"):
        yield name, 0o40755, b""
    yield "bin/busybox", 0o100755, Path("/bin/busybox").read_bytes()
    yield "init", 0o100755, Path(__file__).with_name("init").read_bytes()
    order = []
    for module in NEEDED:
        listed = _run("modprobe", "-d", str(ready.place), "-S", ready.version, "--show-depends", module)
        order += [line.split()[1] for line in listed.splitlines() if line.startswith("insmod")]
    names = list(dict.fromkeys(order))
    for path in names:
        yield f"modules/{Path(path).name}", 0o100644, Path(path).read_bytes()
    yield "modules/order", 0o100644, "".join(f"{Path(path).name}\n" for path in names).encode()


def archive(files: Iterator[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive of the kind the kernel unpacks (newc)."""
    out = bytearray()
    for inode, (name, mode, content) in enumerate((*files, ("TRAILER!!!", 0, b"")), 1):
        numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)

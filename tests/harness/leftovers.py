"""What an engine leaves on the machine: processes, mounts, links, rules, cgroups; to be looked for, and swept."""

import atexit
import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.netns import Namespace
from tests.harness.wait import until

CGROUPS = Path("/sys/fs/cgroup")
OWN_LINKS = {"lo", "uplink"}


STARTED = time.time()


def directory(kind: str) -> Path:
    """A temporary directory of this run, gone at its end at the latest."""
    path = Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def files() -> list[str]:
    """What this run, or a program it signalled, has put into the machine's temporary directory and left there.

    For the end of a run; the images that all tests share go after that.
    """
    place = Path(tempfile.gettempdir())
    found = [str(path) for path in place.glob(f"*-{os.getpid()}-*")]
    return found + [str(path) for path in place.glob("*.stacks.log") if path.stat().st_mtime > STARTED]


def all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def processes(inode: int) -> list[int]:
    """All that live in a network namespace."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino == inode:
                found.append(pid)
    return sorted(found)


def contained(name: str) -> list[int]:
    """All in a cgroup below /NAME of any hierarchy."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if f":/{name}/" in Path(f"/proc/{pid}/cgroup").read_text():
                found.append(pid)
    return found


def names(pid: int) -> set[str]:
    """What a process may be called by: comm, base name of its executable, base names of its first words."""
    found = set()
    with contextlib.suppress(OSError):
        found.add(Path(f"/proc/{pid}/comm").read_text().strip())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        found.update(Path(word).name for word in words[:2] if word)
        found.add(Path(f"/proc/{pid}/exe").readlink().name)
    return found


def cmdline(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "?"


def mounts(root: Path) -> list[str]:
    """Mount points at or below a directory, deepest first."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in points if point == str(root) or point.startswith(f"{root}/")]
    return sorted(below, key=len, reverse=True)


def cgroups(name: str) -> list[Path]:
    """Cgroups below /NAME of every hierarchy, deepest first."""
    found: list[Path] = []
    for top in [CGROUPS, *CGROUPS.iterdir()]:
        if (top / name).is_dir():
            found += [Path(folder) for folder, _, _ in os.walk(top / name)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def links(network: Namespace) -> list[str]:
    names = [line.split(":")[1].strip().split("@")[0] for line in network.ip("-o", "link").splitlines()]
    return [name for name in names if name not in OWN_LINKS]


def rules(network: Namespace) -> list[str]:
    """Firewall rules and chains that are not the kernel's own."""
    found: list[str] = []
    for program in ("iptables-save", "ip6tables-save"):
        lines = network.run(program).stdout.decode().splitlines()
        found += [line for line in lines if line.startswith("-A") or (line.startswith(":") and line.split()[1] == "-")]
    return found


def find(name: str, root: Path, network: Namespace) -> list[str]:
    """Sentences, one for each thing left. A cgroup parent that is empty counts as nothing: Docker leaves it too."""
    mine = os.getpid()
    # Whoever has ended waits for his parent: of an orphan that may be this process, which unit tests make a subreaper.
    living = {pid for pid in {*processes(network.inode()), *contained(name)} if pid != mine and not zombie(pid)}
    found = [f"process {pid}: {cmdline(pid)}" for pid in living]
    found += [f"mount {point}" for point in mounts(root) if not point.endswith("/data")]
    found += [f"cgroup {path}" for path in cgroups(name) if path.name != name]
    found += [f"link {link}" for link in links(network)]
    found += [f"rule {rule}" for rule in rules(network)]
    return found


def sweep(name: str, root: Path, network: Namespace) -> None:
    """Ends and removes it all, by force."""
    end({*processes(network.inode()), *contained(name)})
    for _ in range(3):
        for point in mounts(root):
            subprocess.run(["umount", "-l", point], capture_output=True)
    for path in cgroups(name):
        with contextlib.suppress(OSError):
            path.rmdir()


def end(pids: set[int]) -> None:
    for pid in pids - {os.getpid()}:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                thaw(pid)
                select.select([descriptor], [], [], 5)
            finally:
                os.close(descriptor)
    until(lambda: not any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in pids), f"{pids} end")


def zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def thaw(pid: int) -> None:
    """A frozen process dies only once it is thawed (cgroup v1)."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "freezer" and path != "/":
            (CGROUPS / "freezer" / path.lstrip("/") / "freezer.state").write_text("THAWED")

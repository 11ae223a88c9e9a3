"""Project quotas, asked of the kernel byte for byte as its headers have them."""

import errno
import fcntl
import struct
from pathlib import Path

import pytest

from services.containerd import linux
from services.containerd.snapshots.quota import Projects


class Kernel:
    """Remembers what it is asked, in the shapes of <linux/fs.h> and <linux/dqblk_xfs.h>."""

    def __init__(self) -> None:
        self.attributes = struct.pack("=5I8x", 0x800, 1, 2, 40, 3)
        self.limits: list[tuple[int, int, int]] = []

    def ioctl(self, descriptor: int, command: int, argument: bytes) -> bytes:
        if command == 0x401C5820:
            self.attributes = argument
        else:
            assert command == 0x801C581F
        return self.attributes

    def quotactl(self, descriptor: int, command: int, number: int, argument: bytes) -> None:
        assert command == (ord("X") << 8 | 4) << 8 | 2
        assert len(argument) == 112
        version, flags, mask, project, hard, soft = struct.unpack_from("=bbHIQQ", argument)
        assert (version, flags, mask) == (1, 2, 0b1100)
        assert project == number and soft == hard
        self.limits.append((number, hard * 512, len(argument.strip(b"\0"))))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    monkeypatch.setattr(linux, "quotactl_fd", made.quotactl)
    return made


def test_a_directory_is_confined(kernel: Kernel, tmp_path: Path) -> None:
    Projects(tmp_path).confine(tmp_path, 7, 10 << 20)
    assert [limit[:2] for limit in kernel.limits] == [(40, 0), (47, 10 << 20)]
    assert struct.unpack("=5I8x", kernel.attributes) == (0x800 | 0x200, 1, 2, 47, 3)


def test_a_limit_is_taken_back(kernel: Kernel, tmp_path: Path) -> None:
    Projects(tmp_path).release(7)
    assert kernel.limits[-1][:2] == (47, 0)


def test_without_quotas_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ESRCH, "No such process")

    monkeypatch.setattr(fcntl, "ioctl", Kernel().ioctl)
    monkeypatch.setattr(linux, "quotactl_fd", refuse)
    with pytest.raises(OSError, match="quotas are not on: mount it with the option pquota"):
        Projects(tmp_path)

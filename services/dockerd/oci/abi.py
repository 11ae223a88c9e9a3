"""Which foreign instruction sets this kernel runs. A filter need not hold rules for calls that cannot be made.

Each set that a runtime compiles rules for costs every start several milliseconds. The test is exact: the kernel is
given a program of that set, which does nothing but end, and refuses to execute it or not.
"""

import errno
import functools
import os
import platform
import struct
import subprocess
from typing import Final

_BASE: Final = 0x400000
_HEADERS: Final = 52 + 32
_I386: Final = bytes.fromhex("31db31c040cd80")  # xor ebx,ebx; xor eax,eax; inc eax; int 0x80
_X32: Final = bytes.fromhex("31ffb83c0000400f05")  # xor edi,edi; mov eax,__X32_SYSCALL_BIT|60; syscall
_PROGRAMS: Final = {"SCMP_ARCH_X86": (3, _I386), "SCMP_ARCH_X32": (62, _X32)}
"""By libseccomp's name: ELF machine and code of `exit(0)`."""


@functools.cache
def runs(architecture: str) -> bool:
    """Whether programs of a further architecture can run here; True where that cannot be found out."""
    if platform.machine() != "x86_64" or architecture not in _PROGRAMS:
        return True
    machine, code = _PROGRAMS[architecture]
    file = os.memfd_create("abi", os.MFD_CLOEXEC)
    try:
        os.write(file, _program(machine, code))
        subprocess.run([f"/proc/self/fd/{file}"], pass_fds=[file], check=False)
    except OSError as error:
        return error.errno != errno.ENOEXEC
    finally:
        os.close(file)
    return True


def _program(machine: int, code: bytes) -> bytes:
    """A 32-bit ELF executable of one segment."""
    size = _HEADERS + len(code)
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, machine, 1, _BASE + _HEADERS, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, _BASE, _BASE, size, size, 5, 0x1000)
    return header + segment + code

import subprocess
import sys

PROGRAM = """
import ctypes, struct
from services.shim import linux
ignore = struct.pack("QQQQ", 1, 0, 0, 0)
for number in (32, 33):
    ctypes.CDLL(None).syscall(linux._SYS_RT_SIGACTION[__import__("os").uname().machine], number, ignore, None, 8)
def ignored():
    return int(next(line for line in open("/proc/self/status") if line.startswith("SigIgn")).split()[1], 16) >> 31 & 3
before = ignored()
linux.default_library_signals()
print(before, ignored())
"""


def test_ignored_library_signals_are_defaulted() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "0"]

"""fork(2) whose child is our sibling: a shim forked by the zygote is docker-containerd's own child."""

import ctypes
import errno
import os
from typing import Final

_SYS_CLONE3: Final = 435  # one number on every architecture
_CLONE_PARENT: Final = 0x00008000
_ARGS_SIZE: Final = 64
_libc: Final = ctypes.PyDLL(None, use_errno=True)  # holds the interpreter's lock across the call
_python: Final = ctypes.pythonapi


def fork_sibling() -> int:
    """0 in the child; in the caller the child's pid.

    The exit signal is the caller's own (SIGCHLD). CPython's hooks around a fork are called, libc's are not:
    they matter to threads only, of which there must be none.
    """
    arguments = (ctypes.c_uint64 * (_ARGS_SIZE // 8))(_CLONE_PARENT)
    _python.PyOS_BeforeFork()
    pid = int(_libc.syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(_ARGS_SIZE)))
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if pid > 0:
        return pid
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EPERM, errno.EINVAL):  # an old kernel, or a seccomp filter around us
        return _fork_twice()
    raise OSError(number, os.strerror(number))


def _fork_twice() -> int:
    """The middle process ends at once, and the nearest subreaper, docker-containerd, inherits its child."""
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(writer)
            return 0
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 32)
    os.close(reader)
    os.waitpid(middle, 0)
    if not answer:
        raise OSError(errno.EAGAIN, "the process in the middle could not fork")
    return int(answer)

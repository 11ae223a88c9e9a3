"""The kernel's calls that a proxy makes and Python lacks, or wraps too thickly for one per connection."""

import ctypes
import mmap
import os
import resource
import socket
import struct
from typing import Final

from protos.binding import Binding

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
PR_SET_MM: Final = 35
PR_SET_MM_MAP: Final = 14
CLONE_PARENT: Final = 0x8000
SYS_CLONE3: Final = 435  # the same on every architecture
SOCK_FLAGS: Final = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
SO_LINGER_NOW: Final = struct.pack("ii", 1, 0)
ONE: Final = struct.pack("i", 1)

_libc: Final = ctypes.CDLL(None, use_errno=True)
_holding: Final = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock across a call
_libc.sbrk.restype = ctypes.c_void_p
_libc.sbrk.argtypes = [ctypes.c_ssize_t]
_libc.accept4.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
_libc.connect.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_libc.setsockopt.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_libc.shutdown.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.socket.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]


def _failed(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), what)


# connections: descriptors only, no socket objects


def accept(listener: int) -> int:
    descriptor: int = _libc.accept4(listener, None, None, SOCK_FLAGS)
    if descriptor < 0:
        raise _failed("accept")
    return descriptor


def connect(family: int, protocol: int, address: bytes) -> int:
    """A socket on its way to `address` (a packed sockaddr); whether it arrives shows at the first read or write."""
    descriptor: int = _libc.socket(family, socket.SOCK_STREAM | SOCK_FLAGS, protocol)
    if descriptor < 0:
        raise _failed("socket")
    if _libc.connect(descriptor, address, len(address)) < 0:
        error = _failed("connect")
        if not isinstance(error, BlockingIOError):
            os.close(descriptor)
            raise error
    return descriptor


def set_nodelay(descriptor: int, level: int, option: int) -> None:
    _libc.setsockopt(descriptor, level, option, ONE, 4)


def shut_write(descriptor: int) -> None:
    _libc.shutdown(descriptor, socket.SHUT_WR)


def reset(descriptor: int) -> None:
    """Close so that the other end reads "connection reset"."""
    _libc.setsockopt(descriptor, socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_NOW, 8)
    os.close(descriptor)


def sockaddr(address: str, port: int) -> tuple[int, bytes]:
    """Family and packed `struct sockaddr` of an IP address."""
    if ":" in address:
        return socket.AF_INET6, struct.pack("=H", socket.AF_INET6) + struct.pack(
            "!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, address), 0
        )
    packed = struct.pack("!H4s8x", port, socket.inet_aton(address))
    return socket.AF_INET, struct.pack("=H", socket.AF_INET) + packed


# listeners


KINDS: Final = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
BACKLOG: Final = 4096


def listen(binding: Binding) -> socket.socket:
    """The socket that receives what is sent to a binding's host side."""
    family = socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET
    kind, protocol = KINDS[binding.protocol]
    listener = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((binding.host_ip, binding.host_port))
        if kind == socket.SOCK_STREAM:
            listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


# the process


def clone_to_parent() -> int:
    """fork, but the child is a child of this process's parent. Only for a process with one thread."""
    arguments = (ctypes.c_uint64 * 8)(CLONE_PARENT)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _holding.syscall(SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(64))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    error = _failed("clone3") if pid < 0 else None
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if error:
        raise error
    return pid


def die_with_parent(signal: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)


def raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Title:
    """What `ps` shows of this process. Made before a fork and set after it, since that way a child copies less."""

    def __init__(self) -> None:
        # Most of struct prctl_mm_map, as it is; proc_pid_stat(5) numbers the fields.
        stat = _read("/proc/self/stat").rpartition(b")")[2].split()
        self._layout = [int(stat[number - 3]) for number in (26, 27, 45, 46, 47)]
        self._stack, *self._environment = (int(stat[number - 3]) for number in (28, 50, 51))
        self._area: mmap.mmap | None = None

    def set(self, arguments: list[str]) -> None:
        """Keep the object afterwards: the kernel reads its memory. Where it forbids the change, the old words stay."""
        text = b"".join(argument.encode() + b"\0" for argument in arguments)
        self._area = mmap.mmap(-1, len(text), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._area.write(text)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._area))
        words = (start, start + len(text))
        new = struct.pack("=12QIi", *self._layout, _libc.sbrk(0), self._stack, *words, *self._environment, 0, 0, -1)
        _libc.prctl(PR_SET_NAME, arguments[0].encode()[:15], 0, 0, 0)
        _libc.prctl(PR_SET_MM, PR_SET_MM_MAP, new, len(new), 0)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)

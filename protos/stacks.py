"""SIGUSR1: where a process stands, appended to a file below the exec root; the process goes on.

For every service, the lean ones included, so that whoever finds something stuck can ask any process the same way.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TextIO

More = Callable[[TextIO], object]
_path = ""
_more: More | None = None


def name(path: str) -> None:
    """Where dumps of this process go: a process forked from a zygote has a place of its own."""
    global _path
    _path = path


def beside(control: str) -> str:
    """The place beside a control socket; "", which means standard error, where there is none."""
    return control.removesuffix(".sock") + ".stacks.log" if control else ""


def on_request(path: str, more: More | None = None) -> None:
    """From now on; `more` adds what stands in no stack. Costs nothing until asked, works within any Python code."""
    global _more
    _more = more
    name(path)
    signal.signal(signal.SIGUSR1, _dump)


def _dump(_number: int, _frame: FrameType | None) -> None:
    try:
        with open(_path, "a", opener=_private) as file:
            _write(file)
    except OSError:
        if sys.__stderr__ is not None:
            _write(sys.__stderr__)


def _write(file: TextIO) -> None:
    import faulthandler  # for those who are asked
    import time

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file.write(f"time={stamp} pid={os.getpid()} stacks of all threads:\n")
    file.flush()
    faulthandler.dump_traceback(file, all_threads=True)
    if _more is not None:
        _more(file)
    file.flush()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def always(path: str) -> Callable[[], None]:
    """As `on_request`, for processes on asyncio: by faulthandler, which works while the interpreter itself is stuck.

    The tasks follow once the loop turns. Holds the file open; what is returned is to be called at the end, and removes
    the file where nobody asked.
    """
    import asyncio
    import faulthandler
    from pathlib import Path

    place = Path(path)
    place.parent.mkdir(0o700, parents=True, exist_ok=True)
    file = open(place, "a", opener=_private)  # noqa: SIM115 - as long as the process
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tasks, file)
    faulthandler.register(signal.SIGUSR1, file, all_threads=True, chain=True)

    def end() -> None:
        faulthandler.unregister(signal.SIGUSR1)
        if not os.fstat(file.fileno()).st_size:
            place.unlink(missing_ok=True)
        file.close()

    return end


def _tasks(file: TextIO) -> None:
    """Not by print_stack, which stumbles over frames of compiled code."""
    import asyncio
    import time

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file.write(f"time={stamp} pid={os.getpid()} the stacks above are its threads'; its tasks:\n")
    for task in asyncio.all_tasks():
        file.write(f"Task {task.get_name()} {task.get_coro()}\n")
        for frame in task.get_stack():
            code = frame.f_code
            file.write(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}\n')
    file.flush()

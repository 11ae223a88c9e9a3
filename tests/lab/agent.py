"""In the lab: runs what comes over the port, one command a line of JSON, and answers with its output and exit code.

Process 1 only reaps, its child does the work. The machine goes off when nobody is on the other side any more.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PORT = "lab"
ENDING = 20.0


def main() -> None:
    if worker := os.fork():
        while os.wait()[0] != worker:
            pass
        return
    serve()


def serve() -> None:
    descriptor = os.open(port(), os.O_RDWR)
    answer = os.fdopen(os.dup(descriptor), "wb", buffering=0)
    answer.write(json.dumps({"kernel": os.uname().release}).encode() + b"\n")
    with os.fdopen(descriptor, "rb") as requests:
        for line in requests:
            answer.write(json.dumps(run(json.loads(line))).encode() + b"\n")


def port() -> str:
    for entry in Path("/sys/class/virtio-ports").iterdir():
        if (entry / "name").read_text().strip() == PORT:
            return f"/dev/{entry.name}"
    raise SystemExit("no port to the outside")


def run(request: dict[str, object]) -> dict[str, object]:
    """Both outputs in one text, and the code; None where the time is up. What it started and left is ended."""
    child = subprocess.Popen(
        ["setsid", "-w", *request["words"]],  # type: ignore[misc]
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=request["env"], cwd=request["cwd"],  # type: ignore[arg-type]
    )
    code: int | None = None
    try:
        output, _ = child.communicate(timeout=request["timeout"])  # type: ignore[arg-type]
        code = child.returncode
    except subprocess.TimeoutExpired:
        end_all()
        output, _ = child.communicate()
    end_all()
    return {"output": output.decode(errors="replace"), "code": code}


def end_all() -> None:
    """Everybody but this process and the first; the kernel's threads are deaf to it."""
    os.kill(-1, signal.SIGKILL)
    deadline = time.monotonic() + ENDING
    while others() and time.monotonic() < deadline:
        time.sleep(0.01)


def others() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in (1, 2, os.getpid()):
            with contextlib.suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                found += [int(entry.name)] if parent != "2" else []
    return found


def off() -> None:
    os.sync()
    Path("/proc/sys/kernel/sysrq").write_text("1")
    Path("/proc/sysrq-trigger").write_text("b")


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        print(f"agent: {error!r}", file=sys.stderr)
    off()

#!/usr/bin/env -S python3 -I -S
"""An OCI runtime that isolates nothing: the command line, the files and the life of runc, with processes of the host.

Under `--root` a test finds `calls` (a line of JSON for each call: its words and what it inherited) and may put
`fail-<verb>` (the message to fail with) or `wait-<verb>` (a fifo: the verb waits until somebody writes to it).
Containers are records, not control groups: kill and pause act on the init alone.
"""

import argparse
import array
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn


def main() -> int:
    flags, words = parse(sys.argv[1:])
    root = Path(flags.root)
    root.mkdir(parents=True, exist_ok=True)
    note_call(root, words)
    verb = words.verb
    wait = root / f"wait-{verb}"
    if wait.exists():
        wait.read_bytes()
    failure = root / f"fail-{verb}"
    if failure.exists():
        fail(flags, failure.read_text())
    record = root / words.id
    try:
        VERBS[verb](flags, words, record)
    except Missing as error:
        fail(flags, str(error))
    return 0


class Missing(Exception):
    pass


def parse(arguments: list[str]) -> tuple[argparse.Namespace, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="runtime")
    parser.add_argument("--root", required=True)
    parser.add_argument("--log", default="")
    parser.add_argument("--log-format", default="text")
    parser.add_argument("--systemd-cgroup", action="store_true")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in VERBS:
        verb = verbs.add_parser(name)
        if name in ("create", "exec"):
            verb.add_argument("--pid-file", required=True)
            verb.add_argument("--console-socket", default="")
        if name == "create":
            verb.add_argument("--bundle", required=True)
            verb.add_argument("--no-pivot", action="store_true")
            verb.add_argument("--no-new-keyring", action="store_true")
        if name == "exec":
            verb.add_argument("--process", required=True)
            verb.add_argument("--detach", action="store_true")
        if name == "delete":
            verb.add_argument("--force", action="store_true")
        if name == "kill":
            verb.add_argument("--all", action="store_true")
        if name == "update":
            verb.add_argument("--resources", required=True)
        verb.add_argument("id")
        if name == "kill":
            verb.add_argument("signal", type=int)
    words = parser.parse_args(arguments)
    return words, words


def note_call(root: Path, words: argparse.Namespace) -> None:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    umask = os.umask(0)
    os.umask(umask)
    call = {
        "words": vars(words), "umask": umask, "blocked": status["SigBlk"],
        "descriptors": sorted(int(each.name) for each in Path("/proc/self/fd").iterdir())[:-1],
        "stdio": [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in range(3)],
    }
    with (root / "calls").open("a") as file:
        file.write(json.dumps(call) + "\n")


def fail(flags: argparse.Namespace, message: str) -> NoReturn:
    if flags.log:
        with Path(flags.log).open("a") as file:
            file.write(json.dumps({"level": "error", "msg": message, "time": "2026-01-01T00:00:00Z"}) + "\n")
    sys.exit(1)


def create(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    spec = json.loads(Path(words.bundle, "config.json").read_text())
    record.mkdir()
    gate = record / "gate"
    os.mkfifo(gate)
    try:
        pid = start_process(spec["process"], words, gate)
    except Missing:
        shutil.rmtree(record)
        raise
    (record / "pid").write_text(str(pid))
    Path(words.pid_file).write_text(str(pid))


def start_process(process: dict[str, Any], words: argparse.Namespace, gate: Path | None) -> int:
    program = shutil.which(process["args"][0])
    if program is None:
        what = f'unable to start container process: exec: "{process["args"][0]}": executable file not found in $PATH'
        raise Missing(f"{'runc create' if words.verb == 'create' else 'exec'} failed: {what}")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setsid()
        if words.console_socket:
            take_terminal(words.console_socket)
        os.close(writer)
        if gate is not None:
            gate.read_bytes()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execv(program, process["args"])
    os.close(writer)
    os.read(reader, 1)  # its terminal is handed over
    return pid


def take_terminal(address: str) -> None:
    master, slave = os.openpty()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        descriptors = array.array("i", [master])
        client.sendmsg([b"/dev/ptmx"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    os.close(master)
    os.login_tty(slave)


def start(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    pid_of(record)
    (record / "gate").write_bytes(b"")
    (record / "gate").unlink()


def execute(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    pid_of(record)
    pid = start_process(json.loads(Path(words.process).read_text()), words, None)
    Path(words.pid_file).write_text(str(pid))


def kill(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    os.kill(pid_of(record), words.signal)


def pause(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    os.kill(pid_of(record), signal.SIGSTOP)


def resume(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    os.kill(pid_of(record), signal.SIGCONT)


def update(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    (record / "resources").write_text(sys.stdin.read())


def delete(flags: argparse.Namespace, words: argparse.Namespace, record: Path) -> None:
    if not record.exists():
        if words.force:
            return
        raise Missing("container does not exist")
    pid = int((record / "pid").read_text())
    if lives(pid):
        if not words.force:
            raise Missing(f"cannot delete container {words.id} that is not stopped: running")
        os.kill(pid, signal.SIGKILL)
        while lives(pid):
            time.sleep(0.01)
    shutil.rmtree(record)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_of(record: Path) -> int:
    try:
        pid = int((record / "pid").read_text())
    except FileNotFoundError:
        raise Missing("container does not exist") from None
    if not lives(pid):
        raise Missing("container not running")
    return pid


VERBS = {
    "create": create, "start": start, "exec": execute, "kill": kill, "pause": pause, "resume": resume,
    "update": update, "delete": delete,
}

if __name__ == "__main__":
    sys.exit(main())

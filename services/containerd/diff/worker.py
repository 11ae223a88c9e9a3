"""A process beside docker-containerd that unpacks layers, one at a time: Python keeps a process on one core.

Its stdin is a stream socket. A request is a `Task`, a line of JSON with the blob's descriptor beside it; the answer a
line, a `Done`'s or `{"code": …, "details": …}` of an error. It ends with the socket, and is killed with
docker-containerd. An unpack that nobody wants any more is cancelled by killing it.
"""

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from protos import errdefs, stacks
from protos.idmap import Mapping, Owners
from services.containerd import linux
from services.containerd.diff.layer import Layer
from services.containerd.diff.stream import LayerStream
from services.containerd.diff.unpack import unpack
from services.containerd.diff.whiteout import Form

CHANNEL: Final = 0
TITLE: Final = "docker-unpack"
LIMIT: Final = 1 << 16
"""Bytes that are received at once."""


class Done(NamedTuple):
    digest: str
    """Of the plain layer, as its size."""
    size: int
    files: int
    """Bytes of its files."""


@dataclass(frozen=True, slots=True)
class Task:
    """`digest` and `size` are the blob's."""

    digest: str
    size: int
    place: Layer
    owners: Owners | None
    sync: bool

    def encode(self) -> bytes:
        place, owners = self.place, self.owners
        fields = {
            "digest": self.digest, "size": self.size, "sync": self.sync, "path": str(place.path),
            "parents": [str(parent) for parent in place.parents], "form": place.form.name,
            "owners": [str(owners.uids), str(owners.gids)] if owners else [],
        }
        return json.dumps(fields).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        fields = json.loads(line)
        parents = tuple(Path(parent) for parent in fields["parents"])
        place = Layer(Path(fields["path"]), parents, Form[fields["form"]])
        maps = [Mapping.parse(text) for text in fields["owners"]]
        return cls(fields["digest"], fields["size"], place, Owners(*maps) if maps else None, fields["sync"])


def main(stacks_log: str) -> int:
    """`stacks_log` is where SIGUSR1 is answered."""
    parent = os.getppid()
    linux.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        return 0
    stacks.on_request(stacks_log)
    os.umask(0o022)
    linux.set_title(TITLE, [TITLE])
    channel = socket.socket(fileno=CHANNEL)
    for line, blob in _requests(channel):
        try:
            answer = _serve(Task.decode(line), blob)
        finally:
            os.close(blob)
        channel.sendall(json.dumps(answer).encode() + b"\n")
    return 0


def _requests(channel: socket.socket) -> Iterator[tuple[bytes, int]]:
    """Until the other end is closed."""
    while True:
        line, descriptors, _, _ = socket.recv_fds(channel, LIMIT, 1)
        while line and not line.endswith(b"\n"):
            more = channel.recv(LIMIT)
            if not more:
                return
            line += more
        if not line:
            return
        yield line, descriptors[0]


def _serve(task: Task, blob: int) -> dict[str, Any]:
    stream = LayerStream(blob, task.size, task.digest)
    try:
        try:
            files = unpack(stream, task.place, task.owners, sync=task.sync)
        finally:
            stream.close()
    except errdefs.EngineError as error:
        code, details = errdefs.to_grpc(error)
        return {"code": code, "details": details}
    except Exception as error:  # the daemon is told, and its log has the rest: stderr is its own
        traceback.print_exc()
        return {"code": errdefs.Internal.code, "details": f"layer cannot be unpacked: {error!r}"}
    return Done(stream.digest, stream.size, files)._asdict()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

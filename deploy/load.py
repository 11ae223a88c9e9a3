"""Gives an engine the image busybox:latest over its API: `python -m deploy.load SOCKET [--when-empty]`.

Exit code 0 when it was loaded, 1 when the engine has an image already and `--when-empty` was said.
"""

import http.client
import json
import socket
import sys

from deploy import image


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def main(path: str, *options: str) -> int:
    connection = Connection(path)
    connection.request("GET", "/images/json")
    if json.loads(connection.getresponse().read()) and "--when-empty" in options:
        return 1
    connection.request("POST", "/images/load?quiet=1", image.archive(), {"Content-Type": "application/x-tar"})
    reply = connection.getresponse()
    said = reply.read().decode()
    if reply.status != 200 or "errorDetail" in said:
        raise SystemExit(f"busybox was not loaded: {said}")
    return 0


if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1] in ("-h", "--help"):
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))

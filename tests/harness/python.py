"""The host's Python inside a busybox container: for servers that busybox cannot play."""

import sys
from pathlib import Path

PYTHON = Path(sys.executable).resolve()

# argv: tcp|udp PORT. TCP echoes to the end of input, then tells its length; UDP echoes behind the peer's address.
SERVE = """
import socket, sys, threading
kind, port = sys.argv[1], int(sys.argv[2])
def serve(connection, peer):
    total = 0
    with connection:
        while data := connection.recv(65536):
            total += len(data)
            connection.sendall(data)
        connection.sendall(b'<%d from %s>' % (total, peer[0].encode()))
if kind == 'udp':
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('0.0.0.0', port))
    print('listening', flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(peer[0].encode() + b' ' + data, peer)
server = socket.create_server(('0.0.0.0', port), backlog=512)
print('listening', flush=True)
while True:
    connection, peer = server.accept()
    threading.Thread(target=serve, args=(connection, peer), daemon=True).start()
"""


# argv: ADDRESS PORT. Asks by UDP until an answer comes; prints whom it came from, and the answer.
ASK = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.3)
for _ in range(30):
    sock.sendto(b'hello', (sys.argv[1], int(sys.argv[2])))
    try:
        data, peer = sock.recvfrom(99)
    except OSError:
        continue
    print(peer[0], data.decode())
    break
"""


def host_python(*flags: str) -> list[str]:
    """Words for `docker run … ` that end in the interpreter: only its own directories are mounted, read-only."""
    places = {path for path in ("/usr", "/lib", "/lib64", str(Path(sys.base_prefix).resolve())) if Path(path).exists()}
    places = {path for path in places if not any(path != other and path.startswith(f"{other}/") for other in places)}
    mounts = [word for path in sorted(places) for word in ("-v", f"{Path(path).resolve()}:{path}:ro")]
    return [*flags, *mounts, "busybox", str(PYTHON), "-S"]

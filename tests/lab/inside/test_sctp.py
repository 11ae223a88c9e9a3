"""SCTP, for which this kernel has a module: published ports reached by rules and by docker-proxy."""

import socket
import subprocess

from tests.harness.cli import Docker
from tests.harness.engine import HOST, NEIGHBOUR, Engine
from tests.harness.netns import Namespace
from tests.harness.python import host_python
from tests.harness.wait import PATIENCE, until

PORT = 17009
SERVE = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
server.bind(('0.0.0.0', 7009))
server.listen()
while True:
    client, peer = server.accept()
    with client:
        while data := client.recv(65536):
            client.sendall(data + b' from ' + peer[0].encode())
"""


def ask(place: Namespace, host: str) -> str:
    """What the container answers; why not, where it does not."""

    def exchange() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as client:
            client.settimeout(5 * PATIENCE)
            client.connect((host, PORT))
            client.sendall(b"hello")
            return client.recv(100).decode()

    try:
        return place.call(exchange)
    except OSError as error:
        return str(error)


def test_ports_are_reached(docker: Docker, engine: Engine, name: str) -> None:
    subprocess.run(["modprobe", "sctp"], check=True)
    docker.ok("run", "-d", "--name", name, "-p", f"{PORT}:7009/sctp", *host_python(), "-c", SERVE)
    until(lambda: ask(engine.neighbour, HOST) == f"hello from {NEIGHBOUR}", "the rules lead there")
    assert "--sport" not in (saved := engine.network.run("iptables-save").stdout.decode())
    assert f"-A DOCKER ! -i docker0 -p sctp -m sctp --dport {PORT} -j DNAT" in saved
    assert ask(engine.network, "127.0.0.1") == "hello from 172.17.0.1"
    docker.ok("rm", "-f", name)
    assert "refused" in ask(engine.network, "127.0.0.1")
    assert b"sctp" not in engine.network.run("iptables-save").stdout

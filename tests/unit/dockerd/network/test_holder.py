"""Who holds a port."""

import os
import socket

from services.dockerd.network import holder


def test_the_process_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert f"pid {os.getpid()})" in holder.describe("tcp", server.getsockname()[1])


def test_udp_is_found_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        assert f"pid {os.getpid()})" in holder.describe("udp", sock.getsockname()[1])


def test_nobody_is_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert holder.describe("tcp", port) == ""

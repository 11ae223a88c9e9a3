"""TCP forwarding, between real sockets on loopback."""

import hashlib
import socket
import struct
import threading

import pytest

from services.proxy import linux, tcp
from tests.harness.wait import until
from tests.unit.proxy.conftest import PATIENCE, Connect, Running

BULK = 8 << 20


def accept(server: socket.socket) -> socket.socket:
    sock, _ = server.accept()
    sock.settimeout(PATIENCE)
    return sock


def receive_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def feed(sock: socket.socket, data: bytes) -> threading.Thread:
    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.fixture
def pair(running: Running, server: socket.socket, connect: Connect) -> "tuple[socket.socket, socket.socket]":
    """A client, and the container's end of its connection."""
    port = running.publish("tcp", server.getsockname()[1])
    running.start()
    return connect(port), accept(server)


Pair = tuple[socket.socket, socket.socket]


def test_bytes_pass_both_ways(pair: Pair) -> None:
    client, inside = pair
    with inside:
        client.sendall(b"ping")
        assert inside.recv(99) == b"ping"
        inside.sendall(b"pong")
        assert client.recv(99) == b"pong"


def test_the_server_may_speak_first(pair: Pair) -> None:
    client, inside = pair
    with inside:
        inside.sendall(b"220 ready")
        assert client.recv(99) == b"220 ready"


@pytest.mark.parametrize("direction", ["in", "out"])
def test_bulk_arrives_unchanged(pair: Pair, direction: str) -> None:
    client, inside = pair
    source, sink = (client, inside) if direction == "in" else (inside, client)
    data = hashlib.shake_128(direction.encode()).digest(BULK)
    with inside:
        thread = feed(source, data)
        assert receive_all(sink) == data
        thread.join()


def test_bulk_both_ways_at_once(pair: Pair) -> None:
    client, inside = pair
    up, down = b"u" * BULK, b"d" * BULK
    received: list[bytes] = []
    with inside:
        reading = threading.Thread(target=lambda: received.append(receive_all(inside)))
        threads = [feed(client, up), feed(inside, down), reading]
        reading.start()
        assert receive_all(client) == down
        for thread in threads:
            thread.join()
    assert received == [up]


def test_small_messages_follow_bulk(pair: Pair) -> None:
    """A stream that was spliced is read into the buffer again."""
    client, inside = pair
    with inside:
        sender = threading.Thread(target=lambda: client.sendall(b"x" * BULK))
        sender.start()
        left = BULK
        while left:
            left -= len(inside.recv(min(left, 1 << 16)))
        sender.join()
        for number in range(3 * tcp.SMALL_READS):
            client.sendall(b"%03d" % number)
            assert inside.recv(3, socket.MSG_WAITALL) == b"%03d" % number
            inside.sendall(b"ok")
            assert client.recv(2, socket.MSG_WAITALL) == b"ok"


def test_half_close_is_kept(pair: Pair) -> None:
    client, inside = pair
    with inside:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(inside) == b"question"
        inside.sendall(b"answer")
        inside.close()
        assert receive_all(client) == b"answer"


def test_half_close_of_the_server_is_kept(pair: Pair) -> None:
    client, inside = pair
    with inside:
        inside.sendall(b"bye")
        inside.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"bye"
        client.sendall(b"still here")
        client.close()
        assert receive_all(inside) == b"still here"


def test_an_empty_connection_ends(pair: Pair) -> None:
    client, inside = pair
    with inside:
        client.close()
        assert inside.recv(1) == b""


def test_a_slow_reader_slows_the_writer(pair: Pair) -> None:
    client, inside = pair
    client.settimeout(0.5)
    sent = 0
    with inside:
        try:
            while sent < 256 << 20:
                sent += client.send(b"x" * 65536)
        except TimeoutError:
            pass
        assert sent < 64 << 20
        client.settimeout(PATIENCE)
        client.shutdown(socket.SHUT_WR)
        received = 0
        while data := inside.recv(1 << 20):
            received += len(data)
        assert received == sent


def test_a_refused_connection_is_reset(running: Running, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = running.publish("tcp", gone.getsockname()[1])  # while that port is taken
    running.start()
    with pytest.raises(ConnectionResetError):
        connect(port).recv(1)
    until(lambda: running.only().connections == 0, "the connection is forgotten")


def test_a_reset_travels_in(pair: Pair) -> None:
    client, inside = pair
    with inside:
        client.sendall(b"x")
        assert inside.recv(1) == b"x"
        linux.reset(client.detach())
        with pytest.raises(ConnectionResetError):
            inside.recv(1)


def test_a_reset_travels_out(pair: Pair) -> None:
    client, inside = pair
    client.sendall(b"x")
    assert inside.recv(1) == b"x"
    inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    inside.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_an_answer_survives_a_refused_upload(pair: Pair) -> None:
    """A server may answer and leave without reading all: what it said arrives."""
    client, inside = pair
    client.sendall(b"y" * 1000)
    assert inside.recv(1) == b"y"
    inside.sendall(b"413 too large")
    inside.shutdown(socket.SHUT_WR)
    assert client.recv(99) == b"413 too large"
    inside.close()


def test_two_hundred_connections_at_once(running: Running, server: socket.socket, connect: Connect) -> None:
    server.listen(512)
    port = running.publish("tcp", server.getsockname()[1])
    running.start()
    clients = [connect(port) for _ in range(200)]
    insides = [accept(server) for _ in clients]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    heard = {inside.recv(99) for inside in insides}
    assert heard == {b"%d" % number for number in range(200)}
    for sock in (*clients, *insides):
        sock.close()
    until(lambda: running.only().connections == 0, "all are forgotten")


def test_counts_what_passed(pair: Pair, running: Running) -> None:
    client, inside = pair
    with inside:
        client.sendall(b"12345")
        assert inside.recv(99) == b"12345"
        inside.sendall(b"123")
        assert client.recv(99) == b"123"
        forward = running.only()
        assert (forward.bytes_in, forward.bytes_out, forward.connections) == (5, 3, 1)


def test_a_removed_binding_keeps_its_connections(pair: Pair, running: Running) -> None:
    client, inside = pair
    client.sendall(b"a")
    assert inside.recv(1) == b"a"
    (binding,) = running.proxy.forwards
    running.do(lambda: running.proxy.remove(binding))
    with inside:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", binding.host_port), timeout=PATIENCE)
        client.sendall(b"b")
        assert inside.recv(1) == b"b"

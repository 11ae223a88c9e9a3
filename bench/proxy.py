"""Our docker-proxy beside another one (Debian's, by default): throughput, requests/s, connections/s, memory.

Both forward on loopback in a network namespace of their own, in turns (A B A B), under the same load. Run as root:
`python bench/proxy.py [--other /usr/sbin/docker-proxy] [--rounds 5] [--seconds 1.5]`.
"""

import argparse
import ctypes
import functools
import json
import multiprocessing
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HOST, CONTAINER = "127.0.0.1", "127.0.0.2"
PORT = 8080
CHUNK = 1 << 20
CLIENTS = 32
MEMORY = "memory, PSS in MB"


def enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET): run as root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


# servers: one child each, killed at the end


def serve_echo() -> None:
    """Send back what comes, on any number of connections."""
    with socket.create_server((CONTAINER, 7001), backlog=4096) as listener, select.epoll() as poll:
        listener.setblocking(False)
        poll.register(listener, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == listener.fileno():
                    client = listener.accept()[0].detach()
                    poll.register(client, select.EPOLLIN)
                    continue
                try:
                    left = not os.write(descriptor, os.read(descriptor, 65536))
                except OSError:
                    left = True
                if left:
                    os.close(descriptor)


def serve_sink() -> None:
    """Throw away what comes, without copying it."""
    with socket.create_server((CONTAINER, 7002)) as listener:
        while True:
            with listener.accept()[0] as client:
                while client.recv(CHUNK, socket.MSG_TRUNC):
                    pass


def serve_source() -> None:
    """Send as fast as is taken."""
    file = os.memfd_create("source")
    os.truncate(file, CHUNK)
    with socket.create_server((CONTAINER, 7003)) as listener:
        while True:
            with listener.accept()[0] as client:
                try:
                    while True:
                        os.sendfile(client.fileno(), file, 0, CHUNK)
                except OSError:
                    pass


# loads: a figure each, larger is better


def requests(seconds: float) -> float:
    """64 bytes there and back, on CLIENTS connections at once."""
    poll, count, message = select.epoll(), 0, b"x" * 64
    clients = [socket.create_connection((HOST, PORT + 1)) for _ in range(CLIENTS)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(client, select.EPOLLIN)
        client.send(message)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for descriptor, _ in poll.poll():
            os.read(descriptor, 64)
            os.write(descriptor, message)
            count += 1
    for client in clients:
        client.close()
    return count / seconds


def connections(seconds: float) -> float:
    """Connect, one byte there and back, close; CLIENTS at once."""
    poll, open_sockets, count = select.epoll(), {}, 0

    def begin() -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((HOST, PORT + 1))
        open_sockets[client.fileno()] = client
        poll.register(client, select.EPOLLOUT)

    for _ in range(CLIENTS):
        begin()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for descriptor, events in poll.poll():
            if events & select.EPOLLOUT:
                os.write(descriptor, b"x")
                poll.modify(descriptor, select.EPOLLIN)
                continue
            os.read(descriptor, 1)
            open_sockets.pop(descriptor).close()
            count += 1
            begin()
    for client in open_sockets.values():
        client.close()
    return count / seconds


def throughput_in(seconds: float) -> float:
    """Gb/s towards the container."""
    file, total = os.memfd_create("bulk"), 0
    os.truncate(file, CHUNK)
    with socket.create_connection((HOST, PORT + 2)) as client:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            total += os.sendfile(client.fileno(), file, 0, CHUNK)
    os.close(file)
    return total * 8 / seconds / 1e9


def throughput_out(seconds: float) -> float:
    """Gb/s from the container."""
    total = 0
    with socket.create_connection((HOST, PORT + 3)) as client:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            total += len(client.recv(CHUNK))
    return total * 8 / seconds / 1e9


LOADS: dict[str, Callable[[float], float]] = {
    "throughput in, Gb/s": throughput_in,
    "throughput out, Gb/s": throughput_out,
    "requests/s": requests,
    "connections/s": connections,
}


# proxies

BINDINGS = [(PORT + number, 7000 + number) for number in (1, 2, 3)]
Start = Callable[[list[tuple[int, int]]], list[int]]


class Zygote:
    """What dockerd forks proxies from: one process for all bindings of a container."""

    def __init__(self) -> None:
        self._channel, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        subprocess.Popen([sys.executable, "-m", "services.proxy", "zygote"], stdin=there.fileno())
        there.close()

    def start(self, bindings: list[tuple[int, int]]) -> list[int]:
        control = Path(f"/tmp/bench-proxy-{os.getpid()}.sock")
        listeners = [socket.socket(socket.AF_UNIX)]
        listeners[0].bind(str(control))
        listeners[0].listen()
        control.unlink()
        for host_port, _ in bindings:
            listeners.append(socket.create_server((HOST, host_port), backlog=4096))
        lines = [f"tcp {HOST} {host_port} {CONTAINER} {port}" for host_port, port in bindings]
        message = "\n".join([f"bench\t{control}\tlast", *lines])
        socket.send_fds(self._channel, [message.encode()], [each.fileno() for each in listeners])
        pid = int(self._channel.recv(64))
        for listener in listeners:
            listener.close()
        return [pid]


def start_other(program: str, bindings: list[tuple[int, int]]) -> list[int]:
    """One process for each binding."""
    pids = []
    for host_port, port in bindings:
        reader, writer = os.pipe()
        arguments = f"-proto tcp -host-ip {HOST} -host-port {host_port} -container-ip {CONTAINER}"
        command = f"exec {program} {arguments} -container-port {port} 3>&1 >&2"
        pids.append(subprocess.Popen(["sh", "-c", command], stdout=writer).pid)
        os.close(writer)
        if os.read(reader, 100) != b"0\n":
            raise RuntimeError(f"{program} did not start")
        os.close(reader)
    return pids


def memory(start: Start) -> float:
    """PSS in MB of a container's proxy, one of twenty with one port each."""
    pids = [pid for number in range(20) for pid in start([(PORT + number, 7001)])]
    time.sleep(3)  # let both settle: this measures a steady state
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    end(pids)
    return total / 1024 / len(pids)


def end(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", default="/usr/sbin/docker-proxy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--json", action="store_true", help="print the medians as JSON: name -> [ours, other]")
    options = parser.parse_args()
    enter_namespace()
    servers = [multiprocessing.Process(target=each, daemon=True) for each in (serve_echo, serve_sink, serve_source)]
    for server in servers:
        server.start()
    time.sleep(0.3)
    figures: dict[str, dict[str, list[float]]] = {name: {"ours": [], "other": []} for name in (*LOADS, MEMORY)}
    starts: dict[str, Start] = {"ours": Zygote().start, "other": functools.partial(start_other, options.other)}
    for _ in range(options.rounds):
        for who, start in starts.items():
            figures[MEMORY][who].append(memory(start))
            pids = start(BINDINGS)
            for name, load in LOADS.items():
                figures[name][who].append(load(options.seconds))
            end(pids)
    if options.json:
        print(json.dumps({name: [statistics.median(sides[who]) for who in starts] for name, sides in figures.items()}))
        return
    print(f"{'':22}{'ours':>12}{'other':>12}{'ratio':>8}   (medians of {options.rounds})")
    for name, sides in figures.items():
        ours, other = statistics.median(sides["ours"]), statistics.median(sides["other"])
        print(f"{name:22}{ours:12,.1f}{other:12,.1f}{ours / other:8.2f}")


if __name__ == "__main__":
    main()

"""Where containers' logs go in tests: rsyslog and journald, each with a configuration of its own, and strict receivers
of Fluentd's forward protocol and of GELF. All in the engine's network namespace, or on unix sockets.
"""

import gzip
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import msgpack

from tests.harness.certs import Authority
from tests.harness.netns import Namespace
from tests.harness.wait import until

JOURNALD = "/lib/systemd/systemd-journald"
CONFIG = "[Journal]\nStorage=volatile\nRateLimitBurst=0\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\n"
HIDE = "mount -t tmpfs t /run/systemd && mount -t tmpfs t /run/log && mount -t tmpfs t /var/log"


class Rsyslog:
    """Debian's rsyslogd: TCP and UDP on `port`, the sockets `stream` and `datagrams`; its file has each raw message."""

    def __init__(self, directory: Path, network: Namespace, port: int) -> None:
        self._directory, self._network, self._port = directory, network, port
        self.datagrams = directory / "datagrams"
        self.file = directory / "messages"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Rsyslog":
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
        assert program, "rsyslogd is not installed: apt-get install rsyslog"
        (self._directory / "conf").write_text(
            f'module(load="imtcp") module(load="imudp") module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imtcp" port="{self._port}" address="127.0.0.1")\n'
            f'input(type="imudp" port="{self._port}" address="127.0.0.1")\n'
            f'input(type="imuxsock" Socket="{self.datagrams}" UseSpecialParser="off" ParseHostname="on")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'*.* action(type="omfile" file="{self.file}" template="raw" asyncWriting="off")\n'
        )
        words = [program, "-n", "-iNONE", "-f", str(self._directory / "conf")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._network.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: self.datagrams.exists() and self._listens(), "rsyslogd listens")
        return self

    def _listens(self) -> bool:
        with suppress(OSError):
            self._network.connect("127.0.0.1", self._port).close()
            return True
        return False

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.datagrams.unlink(missing_ok=True)


class Journal:
    """systemd's journald, alone, in a mount namespace whose /run/systemd, /run/log and /var/log are its own."""

    def __init__(self, directory: Path) -> None:
        config = directory / "journald.conf"
        config.write_text(CONFIG)
        script = f'{HIDE} && mount --bind "$1" /etc/systemd/journald.conf && exec sleep infinity'
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "-", str(config)]
        self._holder = subprocess.Popen(words)
        self.pid = self._holder.pid
        until(lambda: Path(f"/proc/{self.pid}/comm").read_text() == "sleep\n", "the namespace is there")
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> "Journal":
        self._daemon = subprocess.Popen(self._command(JOURNALD), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.ask("--sync", check=False) is not None, "journald answers")
        return self

    def _command(self, *words: str) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *words]

    def ask(self, *words: str, check: bool = True) -> str | None:
        done = subprocess.run(self._command("journalctl", *words), capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if done.returncode == 0 else None

    def entries(self, *match: str) -> list[dict[str, Any]]:
        self.ask("--sync")
        return [json.loads(line) for line in (self.ask("--output=json", "--all", *match) or "").splitlines()]

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def close(self) -> None:
        self.stop()
        self._holder.kill()
        self._holder.wait()


class Receiver:
    """Takes what comes to a listener or a datagram socket until it is stopped; `seen` is what `parse` made of it."""

    def __init__(self, sock: socket.socket, parse: Callable[["Receiver", socket.socket], None]) -> None:
        self.seen: list[Any] = []
        self.errors: list[BaseException] = []
        self.taking = threading.Event()
        """Cleared, connections are accepted and nothing is read."""
        self.taking.set()
        self._sock, self._parse = sock, parse
        self._woken, self._wake = socket.socketpair()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._sock, self._woken], [], [])
            if self._woken in ready:
                return
            if self._sock.type == socket.SOCK_DGRAM:
                self._guarded(self._sock)
                continue
            taken, _ = self._sock.accept()
            self._connections.append(taken)
            self._threads.append(threading.Thread(target=self._guarded, args=(taken,)))
            self._threads[-1].start()

    def _guarded(self, sock: socket.socket) -> None:
        try:
            self.taking.wait()
            self._parse(self, sock)
        except ConnectionError:
            pass
        except Exception as error:
            self.errors.append(error)

    def stop(self) -> None:
        """As a server that is killed: listener and connections go."""
        self.taking.set()
        self._wake.send(b"x")
        self._threads[0].join()
        for each in self._connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._sock, self._woken, self._wake, *self._connections):
            each.close()
        assert not self.errors, self.errors


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    try:
        yield receiver
    finally:
        receiver.stop()


def listener(network: Namespace, port: int) -> socket.socket:
    return network.call(lambda: socket.create_server(("127.0.0.1", port)))


def unix_listener(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def datagrams(network: Namespace, port: int) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", port))
        return made

    return network.call(make)


def fluentd(receiver: Receiver, sock: socket.socket) -> None:
    """Message mode of the forward protocol: `[tag, time, record]`, or with an option that may ask for an answer."""
    unpacker = msgpack.Unpacker()
    while data := sock.recv(65536):
        receiver.taking.wait()
        unpacker.feed(data)
        for message in unpacker:
            tag, at, record, *option = message
            assert isinstance(tag, str) and isinstance(record, dict) and len(option) <= 1
            assert isinstance(at, int) or (at.code == 0 and len(at.data) == 8)
            receiver.seen.append((tag, at, record))
            if option and option[0]:
                sock.sendall(msgpack.packb({"ack": option[0]["chunk"]}))


def encrypted(
    authority: Authority, parse: Callable[[Receiver, ssl.SSLSocket], None], strict: bool = True
) -> Callable[[Receiver, socket.socket], None]:
    """`parse` for what comes by TLS; `strict` wants a certificate of the authority's from the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.directory / "serverAuth-server"
    context.load_cert_chain(server / "cert.pem", server / "key.pem")
    if strict:
        context.load_verify_locations(authority.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(receiver: Receiver, sock: socket.socket) -> None:
        try:
            secured = context.wrap_socket(sock.dup(), server_side=True)
        except ssl.SSLError:
            assert not strict  # the client does not trust us
            return
        with secured:
            parse(receiver, secured)

    return serve


def counted_syslog(receiver: Receiver, sock: socket.socket) -> None:
    """RFC 5425: each message of RFC 5424 behind its length; others end with a newline."""
    data = b""
    while more := sock.recv(65536):
        data += more
        while data:
            head, space, rest = data.partition(b" ")
            if head.isdigit():
                if not space or len(rest) < int(head):
                    break
                message, data = rest[: int(head)], rest[int(head) :]
                assert re.match(rb"<\d+>1 ", message)
            else:
                message, newline, data = data.partition(b"\n")
                message += newline
            receiver.seen.append(message.decode())


def splunk(receiver: Receiver, sock: socket.socket) -> None:
    """The HTTP event collector: events one after the other in a body, each with the headers that it came with."""

    class Collector(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_OPTIONS(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.taking.wait()
            assert self.path.startswith("/services/collector/event/1.0")
            if self.headers["Authorization"] != "Splunk secret":
                self._answer(b'{"text":"Invalid token","code":4}', 403)
                return
            text = (gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body).decode()
            position = 0
            while position < len(text):
                event, position = json.JSONDecoder().raw_decode(text, position)
                assert event["host"] == os.uname().nodename and re.fullmatch(r"\d+\.\d{6}", event["time"])
                receiver.seen.append((event, dict(self.headers)))
            self._answer(b'{"text":"Success","code":0}')

        def _answer(self, body: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    Collector(sock, ("", 0), None)  # type: ignore[arg-type]  # it asks nothing of a server


def gelf_stream(receiver: Receiver, sock: socket.socket) -> None:
    data = b""
    while more := sock.recv(65536):
        *messages, data = (data + more).split(b"\0")
        receiver.seen += map(checked, messages)


def gelf_datagrams(receiver: Receiver, sock: socket.socket) -> None:
    """One datagram; `chunks` of the receiver are those of unfinished messages."""
    data = sock.recv(65536)
    if data[:2] == b"\x1e\x0f":
        parts = receiver.__dict__.setdefault("chunks", {}).setdefault(data[2:10], {})
        number, count = data[10], data[11]
        assert number < count <= 128 and number not in parts
        parts[number] = data[12:]
        if len(parts) < count:
            return
        data = b"".join(parts[index] for index in range(count))
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    elif data[0] & 0x0F == 8:
        data = zlib.decompress(data)
    receiver.seen.append(checked(data))


def checked(data: bytes) -> dict[str, Any]:
    """What GELF 1.1 demands of a message."""
    message: dict[str, Any] = json.loads(data)
    assert message["version"] == "1.1" and message["host"] == os.uname().nodename and message["short_message"]
    assert isinstance(message["timestamp"], float | int) and message["level"] in range(8)
    known = {"version", "host", "short_message", "full_message", "timestamp", "level"}
    assert all(name in known or name.startswith("_") for name in message)
    return message

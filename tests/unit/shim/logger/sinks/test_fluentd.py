import socket
import threading

import msgpack

from services.shim.logger.packet import Entry
from services.shim.logger.pieces import Piece
from services.shim.logger.sinks.fluentd import Fluentd

FIELDS = {"container_id": "c", "container_name": "/n"}


def message(entry: Entry, **options: str) -> list[object]:
    target = Fluentd({f"fluentd-{name.replace('_', '-')}": value for name, value in options.items()}, "tag", FIELDS)
    unpacked: list[object] = msgpack.unpackb(target._message(entry, ""))
    return unpacked


def test_messages_are_of_the_forward_protocol() -> None:
    record = {"container_id": "c", "container_name": "/n", "source": "stdout", "log": "text"}
    assert message(Entry("stdout", 1_500_000_000, b"text")) == ["tag", 1, record, None]


def test_fractions_of_a_second_are_an_event_time() -> None:
    stamp = message(Entry("stdout", 1_500_000_000, b""), sub_second_precision="true")[1]
    assert stamp == msgpack.ExtType(0, b"\0\0\0\x01\x1d\xcd\x65\x00")


def test_pieces_are_told() -> None:
    record = message(Entry("stderr", 1, b"x", Piece("i", 2, True)))[2]
    assert isinstance(record, dict) and record.items() >= {
        "partial_message": "true", "partial_id": "i", "partial_ordinal": "2", "partial_last": "true",
    }.items()


def test_acknowledgements_are_awaited() -> None:
    seen: list[object] = []

    def acknowledge(listener: socket.socket) -> None:
        taken, _ = listener.accept()
        with taken:
            unpacker = msgpack.Unpacker()
            while data := taken.recv(4096):
                unpacker.feed(data)
                for each in unpacker:
                    seen.append(each[2]["log"])
                    taken.sendall(msgpack.packb({"ack": each[3]["chunk"]}))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acknowledge, args=(listener,))
        thread.start()
        options = {"fluentd-address": f"127.0.0.1:{listener.getsockname()[1]}", "fluentd-request-ack": "true"}
        target = Fluentd(options, "tag", FIELDS)
        assert target.send([Entry("stdout", 1, b"a"), Entry("stdout", 1, b"b")]) == 0
        assert seen == ["a", "b"]
        target._endpoint.close()
        thread.join()

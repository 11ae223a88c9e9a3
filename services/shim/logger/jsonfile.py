"""Docker's json-file, written; its lines are jsonline.py's, its files file.py's."""

from collections.abc import Mapping

from services.shim.logger.driver import Background, Record
from services.shim.logger.file import LogFile
from services.shim.logger.jsonline import Encoder, decode
from services.shim.logger.lines import Block
from services.shim.logger.options import Options


class JsonFile(LogFile):
    def __init__(self, path: str, options: Options, attributes: Mapping[str, str], background: Background) -> None:
        super().__init__(path, options, Layout(attributes), background)


class Layout:
    """One object a line; a newline stands nowhere else."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self._encoder = Encoder(attributes)

    def encode(self, stream: str, blocks: list[Block]) -> bytes:
        encoder = self._encoder
        encoded = [
            encoder.piece(each.data, stream, each.since) if each.partial
            else encoder.lines(each.data, stream, each.since)
            for each in blocks
        ]
        return encoded[0] if len(encoded) == 1 else b"".join(encoded)

    def end(self, data: bytes, start: int, room: int) -> int:
        return data.find(b"\n", start + max(0, room - 1)) + 1 or len(data)

    def count(self, data: bytes) -> int:
        return data.count(b"\n")

    def whole(self, data: bytes, done: int) -> int:
        return data.rfind(b"\n", 0, done) + 1

    def decode(self, data: bytes) -> tuple[list[Record], bytes]:
        *lines, rest = data.split(b"\n")
        return [record for line in lines if (record := decode(line)) is not None], rest

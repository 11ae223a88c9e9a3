"""No log."""

from services.shim.loop import Future


class Nothing:
    def __init__(self) -> None:
        self.blocked: Future[None] | None = None
        self.written = self.dropped = 0

    def write(self, stream: str, data: bytes, now: int) -> None:
        pass

    def end(self, stream: str, now: int) -> None:
        pass

    def pending(self, stream: str) -> bytes:
        return b""

    def replay(self) -> None:
        return None

    def close(self) -> None:
        pass

"""The keys that detach a client from a terminal, looked for in what it types. Pure."""


class DetachKeys:
    """A sequence begun is held back until it is complete or broken; broken, it is input like any other."""

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is input, and whether the client detached; what follows the keys is nobody's."""
        if not self._keys:
            return data, False
        if not self._matched and self._keys[0] not in data:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
            else:
                passed += self._keys[: self._matched]
                passed.append(byte)
                self._matched = 0
        return bytes(passed), False

    def rest(self) -> bytes:
        """What is held back when the input ends."""
        held, self._matched = self._keys[: self._matched], 0
        return held

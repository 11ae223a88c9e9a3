"""Owners of files under user namespaces: which id of the host stands for which id of a container (pure).

dockerd says it to docker-containerd as `--uid-map` and `--gid-map`, `container:host:count` for each range.
"""

from dataclasses import dataclass
from typing import Final, Self

from protos.errdefs import InvalidArgument

OVERFLOW: Final = 65534
"""What the kernel shows of an owner who has no id in the namespace."""
_MAX_ID: Final = (1 << 32) - 2
_V3: Final = b"\x03"
"""Revision of a file capability that is good in one user namespace only; the last byte of its first word."""


@dataclass(frozen=True, slots=True)
class Range:
    container: int
    host: int
    count: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """The ids of one kind."""

    ranges: tuple[Range, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `0:100000:65536,…`."""
        try:
            ranges = tuple(Range(*(int(number) for number in each.split(":"))) for each in text.split(","))
        except (TypeError, ValueError):
            raise InvalidArgument(f"invalid id map {text!r}: each range is container:host:count") from None
        for each in ranges:
            if min(each.container, each.host) < 0 or each.count < 1 or each.host + each.count - 1 > _MAX_ID:
                raise InvalidArgument(f"invalid id map {text!r}: out of range")
        return cls(ranges)

    def __str__(self) -> str:
        return ",".join(f"{each.container}:{each.host}:{each.count}" for each in self.ranges)

    def to_host(self, number: int) -> int:
        """InvalidArgument for an id that the container cannot have."""
        for each in self.ranges:
            if each.container <= number < each.container + each.count:
                return each.host + number - each.container
        raise InvalidArgument(f"Container ID {number} cannot be mapped to a host ID")

    def to_container(self, number: int) -> int:
        for each in self.ranges:
            if each.host <= number < each.host + each.count:
                return each.container + number - each.host
        return OVERFLOW


@dataclass(frozen=True, slots=True)
class Owners:
    uids: Mapping
    gids: Mapping

    @property
    def root(self) -> tuple[int, int]:
        """Who on the host is the containers' root."""
        return self.uids.to_host(0), self.gids.to_host(0)

    def to_host(self, uid: int, gid: int) -> tuple[int, int]:
        return self.uids.to_host(uid), self.gids.to_host(gid)

    def to_container(self, uid: int, gid: int) -> tuple[int, int]:
        return self.uids.to_container(uid), self.gids.to_container(gid)


def plain_capability(value: bytes) -> bytes:
    """A `security.capability` for anybody's archive: without the root it was bound to."""
    if len(value) == 24 and value[3:4] == _V3:
        return value[:3] + b"\x02" + value[4:20]
    return value

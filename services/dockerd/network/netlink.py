"""A small rtnetlink encoder: the links, addresses and routes that starting a container needs.

Messages are values; `Socket.run` sends any number of them in one system call and raises the first refusal.
A socket belongs to the network namespace of the thread that opened it. Constants are the kernel's own.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Final, NamedTuple

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG = 1
NETLINK_EXT_ACK = 11
SOL_NETLINK = 270

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26

IFF_UP = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_PROTINFO, IFLA_LINKINFO = 1, 3, 4, 5, 10, 12, 18
IFLA_NET_NS_FD, IFLA_EXT_MASK = 28, 29
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST = 254, 3, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_RECEIVE: Final = 1 << 17
_NO_SUCH: Final = (errno.ENODEV, errno.ENXIO)

Address = IPv4Address | IPv6Address


class Message(NamedTuple):
    """One request; `what` says in words what is asked, for the error."""

    what: str
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    up: bool
    mtu: int
    master: int
    kind: str
    mac: str


# attributes


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes packed in `data`, flags taken off their kinds."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += length + (-length % 4)


# links


def _link(index: int, *parts: bytes, up: bool = False) -> bytes:
    flag = IFF_UP if up else 0
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flag, flag) + b"".join(parts)


def _mac(value: str) -> bytes:
    return attribute(IFLA_ADDRESS, bytes.fromhex(value.replace(":", "")))


def add_bridge(name: str, mac: str, mtu: int = 0) -> Message:
    parts = [text(IFLA_IFNAME, name), _mac(mac), nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))]
    if mtu:
        parts.append(u32(IFLA_MTU, mtu))
    return Message(f"add bridge {name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _link(0, *parts))


def add_veth(name: str, master: int, mtu: int, peer: str, peer_mac: str, peer_netns: int) -> Message:
    """A pair: the end `name` is up and on the bridge `master`, the end `peer` is down and in `peer_netns`."""
    inside = _link(0, text(IFLA_IFNAME, peer), _mac(peer_mac), u32(IFLA_MTU, mtu), u32(IFLA_NET_NS_FD, peer_netns))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, inside)))
    body = _link(0, text(IFLA_IFNAME, name), u32(IFLA_MTU, mtu), u32(IFLA_MASTER, master), info, up=True)
    return Message(f"add veth {name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def link_up(index: int) -> Message:
    return Message(f"set link {index} up", RTM_NEWLINK, 0, _link(index, up=True))


def set_mtu(index: int, mtu: int) -> Message:
    return Message(f"set mtu of link {index}", RTM_NEWLINK, 0, _link(index, u32(IFLA_MTU, mtu)))


def set_hairpin(index: int) -> Message:
    """Let a bridge port send a frame back where it came from."""
    body = _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0) + nested(IFLA_PROTINFO, attribute(IFLA_BRPORT_MODE, b"\1"))
    return Message(f"set hairpin of link {index}", RTM_SETLINK, 0, body)


def delete_link(name: str) -> Message:
    return Message(f"delete link {name}", RTM_DELLINK, 0, _link(0, text(IFLA_IFNAME, name)))


# addresses and routes


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def add_address(index: int, address: Address, prefix: int, broadcast: IPv4Address | None = None) -> Message:
    """Duplicate detection is off: addresses are ours to give."""
    parts = attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed) + u32(IFA_FLAGS, IFA_F_NODAD)
    if broadcast is not None:
        parts += attribute(IFA_BROADCAST, broadcast.packed)
    body = _ADDRESS.pack(_family(address), prefix, 0, RT_SCOPE_UNIVERSE, index) + parts
    return Message(f"add address {address}/{prefix}", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def delete_address(index: int, address: Address, prefix: int) -> Message:
    body = _ADDRESS.pack(_family(address), prefix, 0, 0, index) + attribute(IFA_LOCAL, address.packed)
    return Message(f"delete address {address}/{prefix}", RTM_DELADDR, 0, body)


def add_default_route(gateway: Address, index: int) -> Message:
    body = _ROUTE.pack(_family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    body += attribute(RTA_GATEWAY, gateway.packed) + u32(RTA_OIF, index)
    return Message(f"add default route by {gateway}", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


class Socket:
    """One conversation with the kernel; not to be shared between threads."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Socket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def run(self, *messages: Message) -> None:
        """Send all, in order, in one call; the kernel does each of them, and the first that it refused is raised."""
        first = self._sequence + 1
        self._socket.send(b"".join(self._pack(message, NLM_F_REQUEST | NLM_F_ACK) for message in messages))
        failure: OSError | None = None
        open_requests = len(messages)
        while open_requests:
            for kind, flags, sequence, body in _parse(self._socket.recv(_RECEIVE)):
                if kind != NLMSG_ERROR or sequence < first:
                    continue
                open_requests -= 1
                failure = failure or _refusal(messages[sequence - first].what, flags, body)
        if failure:
            raise failure

    def ask(self, message: Message) -> list[tuple[int, bytes]]:
        """Replies to one request that answers with objects: (kind, body) of each."""
        self._socket.send(self._pack(message, NLM_F_REQUEST))
        dump = bool(message.flags & NLM_F_DUMP)
        replies: list[tuple[int, bytes]] = []
        while True:
            for kind, flags, sequence, body in _parse(self._socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR and (failure := _refusal(message.what, flags, body)):
                    raise failure
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return replies
                replies.append((kind, body))
            if not dump and replies:
                return replies

    def _pack(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        size = _HEADER.size + len(message.body)
        head = _HEADER.pack(size, message.kind, message.flags | flags, self._sequence, 0)
        return head + message.body + bytes(-size % 4)

    # questions

    def link(self, name: str) -> Link | None:
        body = _link(0, text(IFLA_IFNAME, name), u32(IFLA_EXT_MASK, 8))  # without statistics
        try:
            return _to_link(self.ask(Message(f"get link {name}", RTM_GETLINK, 0, body))[0][1])
        except OSError as error:
            if error.errno in _NO_SUCH:
                return None
            raise

    def links(self) -> list[Link]:
        return [_to_link(body) for _, body in self.ask(Message("list links", RTM_GETLINK, NLM_F_DUMP, _link(0)))]

    def addresses(self, index: int = 0) -> list[tuple[Address, int]]:
        """Addresses with prefix lengths, of one link or of all."""
        replies = self.ask(Message("list addresses", RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)))
        found: list[tuple[Address, int]] = []
        for _, body in replies:
            _, prefix, _, _, link = _ADDRESS.unpack_from(body)
            values = dict(attributes(body[_ADDRESS.size :]))
            local = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
            if local and index in (0, link):
                found.append((ip_address(local), prefix))
        return found

    def routes(self) -> list[tuple[Address, int]]:
        """Destinations with prefix lengths of the main table; a default route has prefix length 0 and is left out."""
        replies = self.ask(Message("list routes", RTM_GETROUTE, NLM_F_DUMP, _ROUTE.pack(*[0] * 9)))
        found: list[tuple[Address, int]] = []
        for _, body in replies:
            fields = _ROUTE.unpack_from(body)
            destination = dict(attributes(body[_ROUTE.size :])).get(RTA_DST)
            if destination and fields[4] == RT_TABLE_MAIN:
                found.append((ip_address(destination), fields[1]))
        return found


def _parse(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + size]
        offset += size + (-size % 4)


def _refusal(what: str, flags: int, body: bytes) -> OSError | None:
    """The error in a NLMSG_ERROR body, with the kernel's own words where it gives some."""
    code, size = -struct.unpack_from("=i", body)[0], struct.unpack_from("=I", body, 4)[0]
    if code == 0:
        return None
    words = os.strerror(code)
    if flags & NLM_F_ACK_TLVS:
        rest = body[4 + (_HEADER.size if flags & NLM_F_CAPPED else size) :]
        said = dict(attributes(rest)).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
        words = f"{words} ({said})" if said else words
    return OSError(code, f"netlink: {what}: {words}")


def _to_link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    values = dict(attributes(body[_LINK.size :]))
    info = dict(attributes(values.get(IFLA_LINKINFO, b"")))
    return Link(
        index=index,
        name=values[IFLA_IFNAME].rstrip(b"\0").decode(),
        up=bool(flags & IFF_UP),
        mtu=_number(values.get(IFLA_MTU)),
        master=_number(values.get(IFLA_MASTER)),
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        mac=values.get(IFLA_ADDRESS, b"").hex(":"),
    )


def _number(data: bytes | None) -> int:
    return int.from_bytes(data, "little") if data else 0

"""Forgets the kernel's tracking of UDP flows, so that a sender that never pauses meets the new container, not the old.

TCP needs none of this: its connections end by themselves.
"""

import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from typing import Final

from services.dockerd.network import netlink

NETLINK_NETFILTER: Final = 12
IPCTNL_MSG_CT_GET: Final = 1 << 8 | 1
IPCTNL_MSG_CT_DELETE: Final = 1 << 8 | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V6_SRC = 1, 3
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
_NFGENMSG: Final = struct.Struct("=BBH")


def forget_udp(ports: Collection[int], container_ips: Collection[str] = ()) -> int:
    """Delete entries of UDP flows sent to these host ports, or answered by these containers; how many there were."""
    addresses = {ip_address(address).packed for address in container_ips}
    families = {ip_address(address).version for address in container_ips} or {4}
    return sum(_forget(socket.AF_INET if each == 4 else socket.AF_INET6, ports, addresses) for each in families)


def _forget(kind: int, ports: Collection[int], addresses: Collection[bytes]) -> int:
    family = _NFGENMSG.pack(kind, 0, 0)
    with netlink.Socket(NETLINK_NETFILTER) as kernel:
        replies = kernel.ask(netlink.Message("list connections", IPCTNL_MSG_CT_GET, netlink.NLM_F_DUMP, family))
        deletions = [
            netlink.Message("forget connection", IPCTNL_MSG_CT_DELETE, 0, family + original)
            for original in _matching(replies, ports, addresses)
        ]
        for deletion in deletions:
            try:
                kernel.run(deletion)
            except FileNotFoundError:
                pass  # it ended meanwhile
    return len(deletions)


def _matching(
    replies: list[tuple[int, bytes]], ports: Collection[int], addresses: Collection[bytes]
) -> Iterator[bytes]:
    """The original-direction tuple, packed as an attribute, of each entry that is meant."""
    for _, body in replies:
        values = dict(netlink.attributes(body[_NFGENMSG.size :]))
        original = _tuple(values.get(CTA_TUPLE_ORIG, b""))
        reply = _tuple(values.get(CTA_TUPLE_REPLY, b""))
        if original[0] == socket.IPPROTO_UDP and (original[1] in ports or reply[2] in addresses):
            yield netlink.nested(CTA_TUPLE_ORIG, values[CTA_TUPLE_ORIG])


def _tuple(data: bytes) -> tuple[int, int, bytes]:
    """(protocol, destination port, source address)."""
    parts = dict(netlink.attributes(data))
    protocol = dict(netlink.attributes(parts.get(CTA_TUPLE_PROTO, b"")))
    address = dict(netlink.attributes(parts.get(CTA_TUPLE_IP, b"")))
    port = int.from_bytes(protocol.get(CTA_PROTO_DST_PORT, b""), "big")
    source = address.get(CTA_IP_V4_SRC) or address.get(CTA_IP_V6_SRC, b"")
    return int.from_bytes(protocol.get(CTA_PROTO_NUM, b""), "big"), port, source

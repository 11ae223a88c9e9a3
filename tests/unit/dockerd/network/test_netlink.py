"""Messages to the kernel, and its answers."""

import socket
import struct

import pytest

from services.dockerd.network import netlink
from services.dockerd.network.netlink import Message, Socket


def test_attributes_are_padded() -> None:
    assert netlink.text(3, "eth0") == struct.pack("=HH", 9, 3) + b"eth0\0\0\0\0"


def test_attributes_are_read_back() -> None:
    data = netlink.text(3, "lo") + netlink.nested(18, netlink.text(1, "veth")) + netlink.u32(4, 1500)
    found = dict(netlink.attributes(data))
    assert found[3] == b"lo\0" and found[4] == (1500).to_bytes(4, "little")
    assert dict(netlink.attributes(found[18])) == {1: b"veth\0"}


def test_torn_attributes_end_the_reading() -> None:
    assert list(netlink.attributes(b"\x01\x00\x00\x00")) == []
    assert list(netlink.attributes(b"\x08")) == []


def test_loopback_is_found() -> None:
    with Socket() as kernel:
        link = kernel.link("lo")
        assert link and (link.index, link.name, link.up) == (1, "lo", True)
        assert ("127.0.0.1", 8) in [(str(address), prefix) for address, prefix in kernel.addresses(1)]
        assert "lo" in [each.name for each in kernel.links()]


def test_a_missing_link_is_none() -> None:
    with Socket() as kernel:
        assert kernel.link("not-there") is None


def test_a_refusal_says_what_was_asked() -> None:
    with Socket() as kernel, pytest.raises(OSError, match="netlink: delete link not-there: No such device"):
        kernel.run(netlink.delete_link("not-there"))


def test_the_kernels_own_words_are_kept() -> None:
    bad = Message("add nothing", netlink.RTM_NEWADDR, netlink.NLM_F_CREATE, struct.pack("=BBBBI", 77, 0, 0, 0, 1))
    with Socket() as kernel, pytest.raises(OSError, match="netlink: add nothing: "):
        kernel.run(bad)


def test_a_socket_goes_on_after_a_refusal() -> None:
    with Socket() as kernel:
        with pytest.raises(OSError, match="delete link"):
            kernel.run(netlink.delete_link("not-there"), netlink.delete_link("nor-this"))
        assert kernel.link("lo")


def test_routes_leave_the_default_out() -> None:
    with Socket() as kernel:
        assert all(prefix for _, prefix in kernel.routes())


def test_link_messages_name_their_kind() -> None:
    message = netlink.add_bridge("br0", "02:42:ac:11:00:01", 1400)
    values = dict(netlink.attributes(message.body[16:]))
    assert values[netlink.IFLA_IFNAME] == b"br0\0"
    assert values[netlink.IFLA_ADDRESS].hex() == "0242ac110001"
    assert struct.unpack("=I", values[netlink.IFLA_MTU]) == (1400,)
    assert message.body[0] == socket.AF_UNSPEC

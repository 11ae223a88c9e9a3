"""What the bridge driver takes for an option."""

import pytest

from protos.errdefs import EngineError
from services.dockerd.network.drivers import options

BRIDGE, NET = "com.docker.network.bridge.", "com.docker.network."


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (f"{BRIDGE}enable_icc", "maybe", r'value: maybe \(strconv.ParseBool: parsing "maybe": invalid syntax\)'),
        (f"{BRIDGE}enable_ip_masquerade", "", "failed to parse"),
        (f"{BRIDGE}inhibit_ipv4", "yes", "strconv.ParseBool"),
        (f"{BRIDGE}gateway_mode_ipv4", "open", r"value: open \(unknown gateway mode open\)"),
        (f"{BRIDGE}gateway_mode_ipv6", "NAT", "unknown gateway mode NAT"),
        (f"{BRIDGE}host_binding_ipv4", "here", r"value: here \(nil ip\)"),
        (f"{NET}host_ipv4", "10.0.0.300", "nil ip"),
        (f"{NET}host_ipv6", "10.0.0.3", "not an IPv6 address"),
        (f"{NET}driver.mtu", "big", r'strconv.Atoi: parsing "big": invalid syntax'),
        (f"{NET}driver.mtu", "-5", "invalid MTU number: -5"),
        (f"{NET}enable_ipv4", "no", 'driver-opt "com.docker.network.enable_ipv4" is not a valid bool'),
        (f"{BRIDGE}name", "a-very-long-name", "an interface's name has 1 to 15 characters"),
        (f"{NET}container_iface_prefix", "a/b", "an interface's name"),
        (f"{BRIDGE}gateway_mode_ipv6", "isolated", "gateway mode 'isolated' can only be used for an internal network"),
    ],
)
def test_bad_values_are_refused(key: str, value: str, problem: str) -> None:
    with pytest.raises(EngineError, match=problem):
        options.check({key: value}, internal=False)


def test_what_is_nobodys_is_let_be() -> None:
    options.check({"mine": "x", f"{BRIDGE}nosuch": "y", f"{NET}driver.mtu": "1400"}, internal=False)


def test_unreadable_ones_of_old_count_for_nothing() -> None:
    assert options.flag({options.ICC: "perhaps"}, options.ICC, True)
    assert options.mode({options.MODE[4]: "perhaps"}, 4) == "nat"


def test_trusted_interfaces_are_apart_by_colons() -> None:
    assert options.trusted({options.TRUSTED: "eth0::vxlan.1"}) == ("eth0", "vxlan.1")

"""What is said of a container's interface on one network."""

import pytest

from protos.errdefs import EngineError
from services.dockerd.network.drivers import interface


def test_names_are_counted_by_prefix() -> None:
    assert interface.name(None, "", []) == "eth0"
    assert interface.name({}, "", ["eth0", "lan0", "eth2"]) == "eth1"
    assert interface.name({}, "lan", ["eth0"]) == "lan0"


def test_a_name_of_choice() -> None:
    assert interface.name({interface.NAME: "up"}, "lan", ["eth0"]) == "up"
    with pytest.raises(EngineError, match="the container has one of that name"):
        interface.name({interface.NAME: "up"}, "", ["up"])


@pytest.mark.parametrize(
    "bad", ["net.ipv4.conf.eth0.forwarding=1", "net.ipv4.IFNAME=1", "kernel.x.conf.IFNAME.y=1",
            "net.ipv4.conf.IFNAME.forwarding", "net.ipv4.conf.IFNAME.../x=1"])
def test_settings_of_other_things_are_refused(bad: str) -> None:
    with pytest.raises(EngineError, match="unrecognised network interface sysctl"):
        interface.check({interface.SYSCTLS: f"net.ipv4.conf.IFNAME.forwarding=1,{bad}"})


@pytest.mark.parametrize("bad", ["a/b", "a b", "sixteen-letters.", ".."])
def test_names_that_linux_does_not_take(bad: str) -> None:
    with pytest.raises(EngineError, match="invalid interface name"):
        interface.check({interface.NAME: bad})


def test_kernel_parameters_of_the_first_interface_are_its_own() -> None:
    given = {"net.ipv4.conf.eth0.forwarding": "0", "net.ipv4.ip_forward": "1"}
    rest, asked = interface.claim(given, {"a": "b", interface.SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"})
    assert rest == {"net.ipv4.ip_forward": "1"}
    both = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=0"
    assert asked == {"a": "b", interface.SYSCTLS: both}
    assert interface.claim(None, None) == (None, None)
    with pytest.raises(EngineError, match=r"endpoint for sysctl net\.ipv4\.conf\.eth1\.forwarding"):
        interface.claim({"net.ipv4.conf.eth1.forwarding": "0"}, None)

"""The contents of /etc/hosts and /etc/resolv.conf."""

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.network import hosts
from services.dockerd.network.hosts import Record


def test_loopback_comes_first() -> None:
    text = hosts.hosts([Record("172.17.0.2", "box")])
    lines = text.splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost" and lines[-1] == "172.17.0.2\tbox"
    assert "::1\tlocalhost ip6-localhost ip6-loopback" in lines


@pytest.mark.parametrize(("hostname", "domain", "names"), [
    ("box", "", "box"), ("box", "example.com", "box.example.com box"), ("box.example.com", "", "box.example.com box"),
])
def test_the_full_name_comes_before_the_bare_one(hostname: str, domain: str, names: str) -> None:
    assert hosts.own_record("172.17.0.2", hostname, domain).names == names


def test_extra_hosts() -> None:
    found = hosts.extra_records(["a:1.2.3.4", "b:::1", "c:[fe80::1]", "d:host-gateway"], ["172.17.0.1"])
    assert found == [("1.2.3.4", "a"), ("::1", "b"), ("fe80::1", "c"), ("172.17.0.1", "d")]


@pytest.mark.parametrize("text", ["a:nonsense", "a:", "a:1.2.3"])
def test_bad_extra_hosts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid IP address in add-host"):
        hosts.extra_records([text], [])


def test_a_gateway_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidArgument, match="unable to derive the IP value for host-gateway"):
        hosts.extra_records(["a:host-gateway"], [])


HOST = """# a comment
nameserver 127.0.0.1
nameserver 192.0.2.1 # ours
nameserver fd00::1
search a.example b.example
options ndots:2
"""


def test_servers_on_loopback_are_left_out() -> None:
    assert hosts.resolv_conf(HOST) == "nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2\n"


def test_loopback_is_good_on_the_host() -> None:
    text = hosts.resolv_conf(HOST, loopback=True, ipv6=True)
    assert text.splitlines()[:3] == ["nameserver 127.0.0.1", "nameserver 192.0.2.1", "nameserver fd00::1"]


def test_public_servers_stand_in() -> None:
    assert hosts.resolv_conf("nameserver 127.0.0.53\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_what_is_given_replaces_its_kind() -> None:
    text = hosts.resolv_conf(HOST, ["9.9.9.9"], ["x.example"], ["timeout:1"])
    assert text == "nameserver 9.9.9.9\nsearch x.example\noptions timeout:1\n"
    assert hosts.resolv_conf(HOST, ["9.9.9.9"]) == "nameserver 9.9.9.9\nsearch a.example b.example\noptions ndots:2\n"


def test_a_dot_means_no_search() -> None:
    assert "search" not in hosts.resolv_conf(HOST, search=["."])


def test_a_domain_is_a_search() -> None:
    assert hosts.parse("domain x.example").search == ("x.example",)

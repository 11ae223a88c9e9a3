"""Which rules bridges and ports need."""

from ipaddress import ip_network

import pytest

from protos.binding import Binding
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.firewall import Firewall
from services.dockerd.network.firewall.iptables import is_bridge_rule
from services.dockerd.network.firewall.rules import Bridge, Link, Rule
from services.dockerd.network.threads import Threads

DOCKER0 = Bridge("docker0", (ip_network("172.17.0.0/16"),), direct=True)
WEB = Binding("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)


def spelled(found: list[Rule]) -> list[str]:
    return [f"{rule.table} {rule}" for rule in found]


def test_a_published_port() -> None:
    assert spelled(rules.ports(DOCKER0, [WEB])) == [
        "nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        "filter -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
    ]


def test_a_host_address_narrows_the_rule() -> None:
    (first, _) = rules.ports(DOCKER0, [WEB._replace(host_ip="192.0.2.7")])
    assert "-d 192.0.2.7/32 ! -i docker0 -p tcp" in str(first)


LOOPBACK = "raw -A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8080 -m comment --comment docker0 -j DROP"


def test_loopback_and_ipv6_are_the_proxys() -> None:
    found = rules.ports(DOCKER0, [WEB._replace(host_ip=host) for host in ("127.0.0.1", "::", "::1")])
    assert spelled(found) == [LOOPBACK], "but neighbours are kept away from it"


def test_loopback_is_shielded_whatever_the_containers_family() -> None:
    (shield,) = rules.ports(DOCKER0, [WEB._replace(host_ip="127.0.0.1", container_ip="fd01::2")])
    assert spelled([shield]) == [LOOPBACK] and shield.family == 4
    assert is_bridge_rule(shield, {"docker0"}, set())


def test_a_container_of_ipv6_has_rules_of_ipv6() -> None:
    six = [WEB._replace(host_ip=host, container_ip="fd01::2") for host in ("::", "2001:db8::7", "::1", "0.0.0.0")]
    found = rules.ports(DOCKER0._replace(direct=False), six)
    assert {rule.family for rule in found} == {6}
    assert spelled(found) == [
        "nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd01::2]:80",
        "filter -A DOCKER -d fd01::2/128 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "raw -A PREROUTING -d fd01::2/128 ! -i docker0 -j DROP",
        "nat -A DOCKER -d 2001:db8::7/128 ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT "
        "--to-destination [fd01::2]:80",
    ]


def test_each_family_has_its_rules() -> None:
    both = DOCKER0._replace(subnets=(ip_network("172.17.0.0/16"), ip_network("fd01::/64")))
    found = list(rules.bridge(both))
    for family, subnet in ((4, "172.17.0.0/16"), (6, "fd01::/64")):
        mine = [rule for rule in found if rule.family == family]
        assert f"-A POSTROUTING -s {subnet} ! -o docker0 -j MASQUERADE" in map(str, mine)
    assert len(found) == 2 * len(mine)


def test_loopback_of_ipv6_is_never_translated() -> None:
    (output,) = [rule for rule in rules.base(proxied=False, family=6) if rule.chain == "OUTPUT"]
    assert output.match.startswith("! -d ::1/128") and output.family == 6


def test_who_routes_to_a_container_is_dropped() -> None:
    last = rules.ports(DOCKER0._replace(direct=False), [WEB])[-1]
    assert spelled([last]) == ["raw -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"]


def test_a_mark_lets_packets_pass() -> None:
    net = DOCKER0._replace(direct=False, mark="0x1/0x3")
    assert str(rules.ports(net, [WEB])[-1]).endswith("! -i docker0 -m mark ! --mark 0x1/0x3 -j DROP")
    found = [str(rule) for rule in rules.bridge(net) if rule.chain == "DOCKER"]
    assert found[-2:] == [
        "-A DOCKER ! -i docker0 -o docker0 -m mark --mark 0x1/0x3 -j ACCEPT",
        "-A DOCKER ! -i docker0 -o docker0 -j DROP",
    ]


def test_links_are_allowed_where_containers_are_kept_apart() -> None:
    link = Link("172.17.0.3", "172.17.0.2", 6379, "tcp")
    assert rules.links(DOCKER0, [link]) == []
    assert spelled(rules.links(DOCKER0._replace(icc=False), [link])) == [
        "filter -A DOCKER -s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 6379 -j ACCEPT",
        "filter -A DOCKER -s 172.17.0.2/32 -d 172.17.0.3/32 -i docker0 -o docker0 -p tcp -m tcp --sport 6379 -j ACCEPT",
    ]


def test_a_range_is_one_rule() -> None:
    same = [Binding("udp", "0.0.0.0", port, "172.17.0.2", port) for port in range(5000, 6001)]
    assert spelled(rules.ports(DOCKER0, same)) == [
        "nat -A DOCKER ! -i docker0 -p udp -m udp --dport 5000:6000 -j DNAT --to-destination 172.17.0.2",
        "filter -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 5000:6000 -j ACCEPT",
    ]


def test_a_shifted_range_is_translated_port_by_port() -> None:
    shifted = [Binding("tcp", "0.0.0.0", 8000 + n, "172.17.0.2", 80 + n) for n in range(3)]
    found = spelled(rules.ports(DOCKER0, shifted))
    assert [text.rpartition(":")[2] for text in found[:3]] == ["80", "81", "82"]
    assert "--dport 80:82 -j ACCEPT" in found[3]


def test_a_port_published_twice_is_allowed_once() -> None:
    found = rules.ports(DOCKER0, [WEB, WEB._replace(host_port=8081)])
    assert [rule.table for rule in found] == ["nat", "filter", "nat"]


def test_without_a_proxy_rules_serve_everybody() -> None:
    net = DOCKER0._replace(proxied=False)
    found = spelled(rules.ports(net, [WEB._replace(host_ip="127.0.0.1")]))
    assert found.pop(0) == LOOPBACK
    assert found[0] == "nat -A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
    assert "raw -A PREROUTING -d 127.0.0.0/8 -i docker0 -j DROP" in spelled(list(rules.bridge(net)))
    assert found[1].endswith("-s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE")


def test_what_is_not_published_is_dropped() -> None:
    assert "filter -A DOCKER ! -i docker0 -o docker0 -j DROP" in spelled(list(rules.bridge(DOCKER0)))


def test_users_rules_are_passed_first() -> None:
    heads = [rule for rule in rules.base(proxied=True) if rule.chain == "FORWARD"]
    assert all(rule.first for rule in heads)
    assert str(heads[-1]) == "-A FORWARD -j DOCKER-USER"


def test_an_internal_network_leads_nowhere() -> None:
    found = spelled(list(rules.bridge(DOCKER0._replace(internal=True))))
    assert not any("MASQUERADE" in text for text in found)
    assert "filter -A DOCKER-ISOLATION-STAGE-1 ! -d 172.17.0.0/16 -i docker0 -j DROP" in found
    assert rules.ports(DOCKER0._replace(internal=True), [WEB]) == []


def test_containers_may_be_kept_apart() -> None:
    found = spelled(list(rules.bridge(DOCKER0._replace(icc=False))))
    assert "filter -A DOCKER-FORWARD -i docker0 -o docker0 -j DROP" in found


def test_a_routed_network_is_not_translated() -> None:
    routed = DOCKER0._replace(direct=False, modes={4: "routed"})
    found = spelled(list(rules.bridge(routed)))
    assert not any("MASQUERADE" in text for text in found)
    assert "filter -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DOCKER" in found
    allowed = [text.removeprefix("filter -A DOCKER ") for text in found if text.startswith("filter -A DOCKER ")]
    assert allowed == ["-o docker0 -p icmp -j ACCEPT", "! -i docker0 -o docker0 -j DROP"]
    bare = WEB._replace(host_port=0)
    assert spelled(rules.ports(routed, [bare, bare])) == [
        "filter -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    ]


def test_an_unprotected_network_lets_everybody_in() -> None:
    net = DOCKER0._replace(direct=False, modes={4: "nat-unprotected"})
    found = spelled(list(rules.bridge(net)))
    assert "filter -A DOCKER ! -i docker0 -o docker0 -j ACCEPT" in found and "MASQUERADE" in found[0]
    assert [rule.table for rule in rules.ports(net, [WEB])] == ["nat", "filter"]


def test_containers_go_out_by_an_address_of_choice() -> None:
    found = spelled(list(rules.bridge(DOCKER0._replace(sources={4: "192.0.2.7"}))))
    assert found[0] == "nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j SNAT --to-source 192.0.2.7"


def test_trusted_interfaces_pass() -> None:
    net = DOCKER0._replace(name="br.x", direct=False, trusted=("eth1", "vx0"))
    found = [rule for rule in rules.ports(net, [WEB]) if rule.table == "raw"]
    assert [rule.first for rule in found] == [True, True, False]
    assert spelled(found)[0] == (
        'raw -A PREROUTING -d 172.17.0.2/32 -i eth1 -m comment --comment "br.x" -j ACCEPT')
    assert all(is_bridge_rule(rule, ["br.x"], []) for rule in found)


def test_neighbours_of_ipv6_find_one_another_on_an_internal_network() -> None:
    six = DOCKER0._replace(subnets=(ip_network("fd01::/64"),), internal=True)
    assert "filter -A DOCKER-ISOLATION-STAGE-1 ! -d fd01::/64 -i docker0 ! -o docker0 -j DROP" in spelled(
        list(rules.bridge(six)))


def test_table_raw_can_be_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rules.ports(DOCKER0, [WEB._replace(host_ip="127.0.0.1")])
    for value, tables in (("", ["raw"]), ("1", [])):
        monkeypatch.setenv("DOCKER_INSECURE_NO_IPTABLES_RAW", value)
        firewall = Firewall({4: True, 6: True}, Threads())
        firewall.want(found)
        assert [rule.table for rule in firewall.families[4].wanted] == tables

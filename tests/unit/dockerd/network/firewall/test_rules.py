"""Which rules bridges and ports need."""

from ipaddress import IPv4Network

from protos.binding import Binding
from services.dockerd.network.firewall import rules
from services.dockerd.network.firewall.rules import Bridge, Rule

DOCKER0 = Bridge("docker0", IPv4Network("172.17.0.0/16"))
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


def test_loopback_and_ipv6_are_the_proxys() -> None:
    assert rules.ports(DOCKER0, [WEB._replace(host_ip="127.0.0.1"), WEB._replace(host_ip="::")]) == []


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
    assert found[0] == "nat -A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
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

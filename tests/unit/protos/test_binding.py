"""The spelling of bindings on a proxy's command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.binding import Binding, parse, runs, spell

WEB = Binding("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)
PORTS = st.integers(1, 65535)


def test_one_binding() -> None:
    assert str(WEB) == "0.0.0.0:8080->172.17.0.2:80/tcp"
    assert list(parse(str(WEB))) == [WEB]


def test_ipv6_is_bracketed() -> None:
    binding = WEB._replace(host_ip="::", protocol="udp")
    assert str(binding) == "[::]:8080->172.17.0.2:80/udp"
    assert list(parse(str(binding))) == [binding]


def test_neighbours_become_ranges() -> None:
    row = [WEB._replace(host_port=8080 + n, container_port=80 + n) for n in range(3)]
    other = WEB._replace(host_port=9000)
    assert spell([*row, other]) == ["0.0.0.0:8080-8082->172.17.0.2:80-82/tcp", "0.0.0.0:9000->172.17.0.2:80/tcp"]
    assert runs([*row, other]) == [(WEB, 3), (other, 1)]


def test_nothing_is_spelled_as_nothing() -> None:
    assert spell([]) == []


@given(st.lists(st.builds(Binding, st.sampled_from(["tcp", "udp"]), st.sampled_from(["0.0.0.0", "::", "127.0.0.1"]),
                          PORTS, st.just("172.17.0.2"), PORTS)))
def test_spelling_is_reversible(bindings: list[Binding]) -> None:
    assert [each for text in spell(bindings) for each in parse(text)] == bindings


@pytest.mark.parametrize("text", [
    "", "80", "0.0.0.0:80", "0.0.0.0:80->1.2.3.4:80", "0.0.0.0:80->1.2.3.4:80/icmp", "0.0.0.0:80-82->1.2.3.4:80/tcp",
    "0.0.0.0:82-80->1.2.3.4:82-80/tcp", "0.0.0.0:65536->1.2.3.4:80/tcp",
])
def test_bad_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid binding"):
        list(parse(text))

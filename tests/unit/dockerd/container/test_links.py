"""Legacy links."""

import pytest

from services.dockerd.container import links
from services.dockerd.container.links import Link


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("db", Link("db", "db")), ("db:store", Link("db", "store")), ("/db:/web/store", Link("db", "store")),
        ("db:", Link("db", "db")),
    ],
)
def test_spellings(text: str, link: Link) -> None:
    assert links.parse(text) == link


def test_inspects_spelling_is_read_again() -> None:
    assert links.show("db:store", "web") == "/db:/web/store"
    assert links.parse(links.show("db", "web")) == Link("db", "db")


def test_what_a_container_is_told() -> None:
    env = ["A=1", "PATH=/x", "HOME=/", "B"]
    found = links.variables("web", "my-db", "172.17.0.2", [(53, "udp"), (5432, "tcp")], env)
    assert list(found) == [
        "MY_DB_PORT=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=1",
    ]


def test_neighbouring_ports_are_told_as_a_run_too() -> None:
    found = list(links.variables("web", "db", "10.0.0.2", [(81, "tcp"), (80, "tcp"), (90, "tcp")], []))
    assert "DB_PORT_80_TCP_START=tcp://10.0.0.2:80" in found and "DB_PORT_80_TCP_PORT_END=81" in found
    assert not any(each.startswith("DB_PORT_90_TCP_START") for each in found)


def test_without_ports_there_is_the_name() -> None:
    assert list(links.variables("web", "db", "10.0.0.2", [], [])) == ["DB_NAME=/web/db"]

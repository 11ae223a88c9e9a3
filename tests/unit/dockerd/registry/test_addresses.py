"""Addresses by a registry's hosts.toml, and which of them is heard."""

import asyncio
from pathlib import Path

import pytest

from protos.errdefs import EngineError
from services.dockerd.registry import addresses, mirrors
from services.dockerd.registry.addresses import of_map
from services.dockerd.registry.errors import Refused, Unreachable
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.settings import Settings

FILE = """
server = "https://upstream.example"

[host."http://mirror.example:5000"]
  capabilities = ["pull", "resolve"]
  skip_verify = true

[host."https://cache.example/v2/hub"]
  override_path = true
  ca = "ca.crt"
  client = [["a.cert", "a.key"], "both.pem"]
  [host."https://cache.example/v2/hub".header]
    x-key = ["one"]

[host."https://store.example/v2"]
  capabilities = ["push"]
"""


def registry(top: Path, name: str, text: str) -> mirrors.Registry:
    (top / name).mkdir()
    (top / name / "hosts.toml").write_text(text)
    found = mirrors.find(top, name)
    assert found is not None
    return found


def test_mirrors_in_their_order_then_the_server(tmp_path: Path) -> None:
    found = of_map(registry(tmp_path, "quay.io", FILE), "quay.io")
    assert [each.base for each in found] == [
        "http://mirror.example:5000/v2/", "https://cache.example/v2/hub/", "https://upstream.example/v2/"
    ]
    assert [each.mirror for each in found] == [True, True, False]
    assert [each.verify for each in found] == [False, True, True]


def test_what_belongs_to_a_host(tmp_path: Path) -> None:
    cache = of_map(registry(tmp_path, "quay.io", FILE), "quay.io")[1]
    own = tmp_path / "quay.io"
    assert cache.authorities == (str(own / "ca.crt"),)
    assert cache.pairs == ((str(own / "a.cert"), str(own / "a.key")), (str(own / "both.pem"), str(own / "both.pem")))
    assert cache.headers == (("x-key", "one"),)


def test_a_push_goes_where_it_may(tmp_path: Path) -> None:
    found = of_map(registry(tmp_path, "quay.io", FILE), "quay.io", push=True)
    assert [each.base for each in found] == [
        "https://cache.example/v2/hub/", "https://store.example/v2/", "https://upstream.example/v2/"
    ]


def test_no_file_is_no_map(tmp_path: Path) -> None:
    assert mirrors.find(tmp_path, "docker.io") is None


def test_a_port_in_containerds_spelling_and_a_default(tmp_path: Path) -> None:
    registry(tmp_path, "box_5000_", 'server = "http://one"')
    registry(tmp_path, "_default", 'server = "http://two"')
    for domain, server in (("box:5000", "http://one"), ("any.example", "http://two")):
        found = mirrors.find(tmp_path, domain)
        assert found is not None and found.server == server


def test_docker_hub_without_a_server(tmp_path: Path) -> None:
    found = of_map(registry(tmp_path, "docker.io", '[host."https://m"]'), "docker.io")
    assert [each.host for each in found] == ["m", "registry-1.docker.io"]


BOTH = """
server = "https://upstream.example"
[host."https://mirror.example"]
"""


@pytest.mark.parametrize(
    ("fault", "push", "asked"),
    [
        (None, False, ["mirror.example"]),
        (Unreachable("x"), False, ["mirror.example", "upstream.example"]),
        (Unreachable("x"), True, ["mirror.example", "upstream.example"]),
        (Refused("x", 404), False, ["mirror.example", "upstream.example"]),
        (Refused("x", 403), True, ["mirror.example"]),
    ],
)
def test_who_is_asked_behind_a_fault(tmp_path: Path, fault: EngineError | None, push: bool, asked: list[str]) -> None:
    registry(tmp_path, "quay.io", BOTH)
    found: list[str] = []

    async def ask(endpoint: Endpoint) -> str:
        found.append(endpoint.host)
        if fault and endpoint.mirror:
            raise fault
        return endpoint.host

    settings = Settings(directory=tmp_path)
    work = addresses.first("quay.io", settings, ask, push=push)
    if asked[-1] == "mirror.example" and fault:
        with pytest.raises(Refused):
            asyncio.run(work)
    else:
        assert asyncio.run(work) == asked[-1]
    assert found == asked


def test_the_last_fault_is_told(tmp_path: Path) -> None:
    registry(tmp_path, "quay.io", BOTH)

    async def ask(endpoint: Endpoint) -> None:
        raise Refused(endpoint.host, 404)

    with pytest.raises(Refused, match=r"upstream\.example"):
        asyncio.run(addresses.first("quay.io", Settings(directory=tmp_path), ask))

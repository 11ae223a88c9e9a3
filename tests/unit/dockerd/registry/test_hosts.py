"""Addresses of registries, in the order in which they are asked."""

import asyncio

import pytest

from protos.proxies import split
from services.dockerd.registry.hosts import Endpoint, endpoints, insecure


def test_docker_hub_behind_its_mirrors() -> None:
    found = endpoints("docker.io", ["http://one:5000/", "https://two/path/"], False)
    assert [each.base for each in found] == [
        "http://one:5000/v2/", "https://two/path/v2/", "https://registry-1.docker.io/v2/"
    ]
    assert [each.mirror for each in found] == [True, True, False]


def test_a_push_goes_past_mirrors() -> None:
    assert [each.host for each in endpoints("docker.io", ["http://one"], False, push=True)] == ["registry-1.docker.io"]


def test_mirrors_are_of_docker_hub_alone() -> None:
    assert endpoints("quay.io", ["http://one"], False) == [Endpoint("https", "quay.io")]


def test_an_insecure_registry_is_asked_by_both_ways() -> None:
    found = endpoints("box:5000", [], True)
    assert [(each.scheme, each.verify) for each in found] == [("https", False), ("http", True)]


@pytest.mark.parametrize(
    ("domain", "configured", "expected"),
    [
        ("box:5000", ["box:5000"], True),
        ("box:5000", ["box"], False),
        ("127.0.0.1:5000", [], True),
        ("127.9.9.9", [], True),
        ("localhost:5000", [], True),
        ("[::1]:5000", [], True),
        ("10.2.3.4:80", ["10.2.0.0/16"], True),
        ("10.3.3.4:80", ["10.2.0.0/16"], False),
        ("[fd00::5]", ["fd00::/8"], True),
        ("docker.io", ["docker.io", "0.0.0.0/0"], False),
    ],
)
def test_who_may_be_asked_in_the_clear(domain: str, configured: list[str], expected: bool) -> None:
    assert asyncio.run(insecure(domain, configured)) is expected


def test_hosts_and_ports() -> None:
    assert split("a:1") == ("a", "1")
    assert split("[::1]:5") == ("::1", "5")
    assert split("[::1]") == ("::1", "")
    assert split("a") == ("a", "")

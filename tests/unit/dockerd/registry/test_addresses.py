"""Addresses by a registry's hosts.toml."""

from pathlib import Path

from services.dockerd.registry import mirrors
from services.dockerd.registry.addresses import of_map

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

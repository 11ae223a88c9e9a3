"""hosts.toml, in containerd's layout."""

from pathlib import Path

import pytest

from protos.errdefs import FailedPrecondition
from services.dockerd.registry.hoststoml import endpoints

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

[host."https://store.example"]
  capabilities = ["push"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "quay.io", FILE)
    return tmp_path


def write(top: Path, name: str, text: str) -> None:
    (top / name).mkdir()
    (top / name / "hosts.toml").write_text(text)


def test_mirrors_in_their_order_then_the_server(folder: Path) -> None:
    found = endpoints(folder, "quay.io")
    assert found is not None
    assert [each.base for each in found] == [
        "http://mirror.example:5000/v2/", "https://cache.example/v2/hub/", "https://upstream.example/v2/"
    ]
    assert [each.mirror for each in found] == [True, True, False]
    assert [each.verify for each in found] == [False, True, True]


def test_what_belongs_to_a_host(folder: Path) -> None:
    found = endpoints(folder, "quay.io")
    assert found is not None
    own = folder / "quay.io"
    assert found[1].authorities == (str(own / "ca.crt"),)
    assert found[1].pairs == (
        (str(own / "a.cert"), str(own / "a.key")), (str(own / "both.pem"), str(own / "both.pem"))
    )
    assert found[1].headers == (("x-key", "one"),)


def test_a_push_goes_where_it_may(folder: Path) -> None:
    found = endpoints(folder, "quay.io", push=True)
    assert found is not None
    assert [each.host for each in found] == ["cache.example", "store.example", "upstream.example"]


def test_no_file_is_no_map(folder: Path) -> None:
    assert endpoints(folder, "docker.io") is None


def test_a_port_in_containerds_spelling_and_a_default(tmp_path: Path) -> None:
    write(tmp_path, "box_5000_", 'server = "http://one"')
    write(tmp_path, "_default", 'server = "http://two"')
    assert [each.host for each in endpoints(tmp_path, "box:5000") or ()] == ["one"]
    assert [each.host for each in endpoints(tmp_path, "any.example") or ()] == ["two"]


def test_docker_hub_without_a_server(tmp_path: Path) -> None:
    write(tmp_path, "docker.io", '[host."https://m"]')
    assert [each.host for each in endpoints(tmp_path, "docker.io") or ()] == ["m", "registry-1.docker.io"]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "host = 1", '[host."ftp://x"]', '[host."https://x"]\ncapabilities = ["fly"]', "server = 1",
     '[host."https://x"]\nca = 1', '[host."https://x"]\nclient = 1', '[host."https://x"]\nheader = 1'],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, "x", text)
    with pytest.raises(FailedPrecondition, match=r"hosts\.toml"):
        endpoints(tmp_path, "x")

from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.registry import mirrors
from services.dockerd.registry.mirrors import Host, Registry

WHOLE = """
server = "https://registry-1.docker.io"

[host."https://first.example"]
  capabilities = ["pull", "resolve"]
  ca = "ca.crt"
  client = [["c.cert", "c.key"], ["both.pem"]]
  skip_verify = true
  [host."https://first.example".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."second.example:5000/sub"]
  override_path = true
"""


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name / "hosts.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_everything_containerd_knows_is_read(tmp_path: Path) -> None:
    here = write(tmp_path, "docker.io", WHOLE).parent
    first = Host(
        "https://first.example", ("pull", "resolve"), (here / "ca.crt",),
        ((here / "c.cert", here / "c.key"), (here / "both.pem", Path())), skip_verify=True,
        headers={"x-one": ("1",), "x-two": ("2", "3")},
    )
    second = Host("https://second.example:5000/sub", override_path=True)
    assert mirrors.read(tmp_path) == {"docker.io": Registry((first, second), "https://registry-1.docker.io")}


def test_directories_name_registries(tmp_path: Path) -> None:
    for name in ("reg.example:5000", "other_5001_", "_default", "plain"):
        write(tmp_path, name, "")
    (tmp_path / "only-certificates").mkdir()
    assert set(mirrors.read(tmp_path)) == {"reg.example:5000", "other:5001", "_default", "plain"}
    assert mirrors.read(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server = ", "Invalid value"), ("server = 1", "server must be a string"), ("host = 1", "host must be a table"),
        ('[host."ftp://x"]', 'invalid host "ftp://x"'), ('[host."https://"]', 'invalid host "https://"'),
        ('[host."x"]\ncapabilities = ["fly"]', 'host "x": unknown capability fly'),
        ('[host."x"]\nskip_verify = "yes"', "skip_verify must be a boolean"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, "r", text)
    with pytest.raises(InvalidArgument) as refused:
        mirrors.read(tmp_path)
    assert str(refused.value).startswith(f"{path}: ") and problem in str(refused.value)

"""Finding plugins by their files."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument, NotFound
from services.dockerd.plugins import discovery
from services.dockerd.plugins.discovery import Directories, Place, Trust


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Directories]:
    for name in ("run", "etc", "lib"):
        (tmp_path / name).mkdir()
    yield Directories((tmp_path / "run",), (tmp_path / "etc", tmp_path / "lib"))


def listen(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def test_a_socket_is_found_by_name(places: Directories, tmp_path: Path) -> None:
    listen(tmp_path / "run/vol.sock")
    assert discovery.find("vol", places) == Place("vol", f"unix://{tmp_path}/run/vol.sock")


def test_a_socket_in_a_directory_of_its_name_is_found(places: Directories, tmp_path: Path) -> None:
    listen(tmp_path / "run/vol/vol.sock")
    assert discovery.find("vol", places).address == f"unix://{tmp_path}/run/vol/vol.sock"


def test_a_spec_holds_an_address(places: Directories, tmp_path: Path) -> None:
    (tmp_path / "lib/far.spec").write_text("tcp://10.0.0.1:8080\n")
    assert discovery.find("far", places) == Place("far", "tcp://10.0.0.1:8080")


def test_a_document_holds_an_address_and_trust(places: Directories, tmp_path: Path) -> None:
    tls = {"InsecureSkipVerify": False, "CAFile": "/ca", "CertFile": "/cert", "KeyFile": "/key"}
    (tmp_path / "etc/far").mkdir()
    (tmp_path / "etc/far/far.json").write_text(json.dumps({"Name": "x", "Addr": "https://h", "TLSConfig": tls}))
    assert discovery.find("far", places) == Place("far", "https://h", Trust(False, "/ca", "/cert", "/key"))


def test_without_an_authority_nothing_is_verified(places: Directories, tmp_path: Path) -> None:
    (tmp_path / "etc/far.json").write_text('{"Addr": "https://h", "TLSConfig": {}}')
    assert discovery.find("far", places).trust == Trust(insecure=True)


def test_sockets_come_before_files(places: Directories, tmp_path: Path) -> None:
    listen(tmp_path / "run/both.sock")
    (tmp_path / "etc/both.spec").write_text("tcp://h:1")
    assert discovery.find("both", places).address.startswith("unix://")


@pytest.mark.parametrize("name", ["", "..", "../etc/far", "a/b", "none", "a\0b"])
def test_other_names_are_not_found(places: Directories, name: str) -> None:
    with pytest.raises(NotFound, match="not found"):
        discovery.find(name, places)


def test_a_plain_file_is_no_socket(places: Directories, tmp_path: Path) -> None:
    (tmp_path / "run/vol.sock").touch()
    with pytest.raises(NotFound, match='plugin "vol" not found'):
        discovery.find("vol", places)


@pytest.mark.parametrize(
    ("file", "text"),
    [("p.spec", "just words"), ("p.spec", "ftp://h"), ("p.json", "{"), ("p.json", "[]"), ("p.json", '{"Addr": 1}'),
     ("p.json", '{"Addr": "tcp://h", "TLSConfig": 1}')],
)
def test_a_file_that_is_not_understood_is_said(places: Directories, tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "etc" / file).write_text(text)
    with pytest.raises(InvalidArgument, match=f"plugin p: {tmp_path}/etc/{file}"):
        discovery.find("p", places)


def test_all_are_listed(places: Directories, tmp_path: Path) -> None:
    listen(tmp_path / "run/one.sock")
    listen(tmp_path / "run/two/two.sock")
    (tmp_path / "run/none").mkdir()
    (tmp_path / "lib/three.spec").write_text("tcp://h:1")
    (tmp_path / "etc/readme.txt").touch()
    assert discovery.names(places) == ["one", "three", "two"]
    assert discovery.names(Directories((tmp_path / "absent",), ())) == []


def test_an_exec_root_has_plugins_of_its_own(tmp_path: Path) -> None:
    assert discovery.beneath(tmp_path).sockets == (tmp_path / "plugins", discovery.SOCKETS)
    assert discovery.beneath(Path("/run/docker")).sockets == (discovery.SOCKETS,)

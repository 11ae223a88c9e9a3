"""Hosts files as neighbours come and go."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from protos.errdefs import Conflict
from services.dockerd.network import files, neighbours
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.hosts import Record
from services.dockerd.network.request import Request
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings, HostConfig


def test_neighbours_are_added_and_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n10.0.0.20\tmine\n")
    files.add_records(path, [Record("10.0.0.2", "web www")])
    assert path.read_text().endswith("10.0.0.2\tweb www\n")
    files.remove_records(path, ["10.0.0.2"])
    assert path.read_text() == "127.0.0.1\tlocalhost\n10.0.0.20\tmine\n"


def test_a_file_that_is_gone_is_no_matter(tmp_path: Path) -> None:
    files.remove_records(tmp_path / "none", ["10.0.0.2"])


def test_a_linked_neighbour_has_its_alias(tmp_path: Path) -> None:
    request = Request("c" * 64, "web", "web", "", HostConfig(Links=["/db:/web/data", "db"]), tmp_path)
    endpoint = Endpoint("e", "n", EndpointSettings(), IPv4Address("172.17.0.9"))
    other = Sandbox("d" * 64, "", tmp_path, tmp_path, tmp_path, name="db", endpoints=[endpoint])
    records = neighbours.links_of(request, [other])
    assert records == [("172.17.0.9", f"data {'d' * 12} db"), ("172.17.0.9", f"db {'d' * 12} db")]
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /web/data"):
        neighbours.links_of(request, [])


def test_names_stand_for_other_addresses(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n10.0.0.2\tdb abc box\n10.0.0.3\tother\n")
    files.rename(path, "db abc box", [Record("10.0.0.9", "db abc box")])
    assert path.read_text() == "127.0.0.1\tlocalhost\n10.0.0.3\tother\n10.0.0.9\tdb abc box\n"
    files.rename(path, "db abc box", [])
    assert "db" not in path.read_text()

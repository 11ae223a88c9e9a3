"""Hosts files as neighbours come and go."""

from pathlib import Path

from services.dockerd.network import files
from services.dockerd.network.hosts import Record


def test_neighbours_are_added_and_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n10.0.0.20\tmine\n")
    files.add_records(path, [Record("10.0.0.2", "web www")])
    assert path.read_text().endswith("10.0.0.2\tweb www\n")
    files.remove_records(path, ["10.0.0.2"])
    assert path.read_text() == "127.0.0.1\tlocalhost\n10.0.0.20\tmine\n"


def test_a_file_that_is_gone_is_no_matter(tmp_path: Path) -> None:
    files.remove_records(tmp_path / "none", ["10.0.0.2"])

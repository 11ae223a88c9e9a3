import os
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd import config


def test_flags_become_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.parse(["--root", "r", "--state", "s", "--address", "unix:///run/x.sock", "-l", "debug"])
    assert (found.root, found.state) == (tmp_path / "r", tmp_path / "s")
    assert (found.address, found.log_level) == ("/run/x.sock", "debug")


def test_long_socket_path_is_refused() -> None:
    config.parse(["--address", "/" + "a" * 106])
    with pytest.raises(errdefs.InvalidArgument, match="107 bytes"):
        config.parse(["--address", "/" + "a" * 107])
    with pytest.raises(errdefs.InvalidArgument, match="107 bytes"):
        config.parse(["--address", "/" + "é" * 54])


def test_closed_ready_descriptor_is_refused() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(errdefs.InvalidArgument, match="ready-fd"):
        config.parse(["--ready-fd", str(writing)])


def test_owners_are_two_maps() -> None:
    found = config.parse(["--uid-map", "0:7:10", "--gid-map", "0:8:10,10:100:1"])
    assert found.owners and found.owners.root == (7, 8)
    assert config.parse([]).owners is None
    with pytest.raises(errdefs.InvalidArgument, match="go together"):
        config.parse(["--uid-map", "0:7:10"])

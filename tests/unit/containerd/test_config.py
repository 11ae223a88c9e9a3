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

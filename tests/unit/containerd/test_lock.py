import os
import socket
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd import lock


def test_root_has_one_holder(tmp_path: Path) -> None:
    held = lock.lock_root(tmp_path)
    with pytest.raises(errdefs.Unavailable, match=f"pid {os.getpid()}"):
        lock.lock_root(tmp_path)
    os.close(held)
    os.close(lock.lock_root(tmp_path))


def test_abandoned_socket_makes_way(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "s"
    lock.claim_address(str(place))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
    lock.claim_address(str(place))
    assert not place.exists()


def test_served_socket_and_files_are_left_alone(tmp_path: Path) -> None:
    place, file = tmp_path / "s", tmp_path / "f"
    file.write_text("x")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        for path in (place, file):
            with pytest.raises(errdefs.AlreadyExists):
                lock.claim_address(str(path))
    assert place.exists()
    assert file.read_text() == "x"

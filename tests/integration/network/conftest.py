"""The host of its own that each test gets."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.dockerd.network import netns
from tests.integration.network.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if os.geteuid():
        pytest.skip("makes network namespaces: needs root")
    place = Place(tmp_path, f"net-{os.getpid()}")
    yield place
    for pid in place.proxies():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pin in (tmp_path / "exec" / "netns").glob("*"):
        netns.remove(pin)
    place.namespace.delete()

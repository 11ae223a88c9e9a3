from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.images import oci_layout
from tests.integration.daemon import CTR, Daemon, Reference


@pytest.fixture(scope="module", params=[Daemon, Reference], ids=["ours", "reference"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Ours, and Debian's containerd, which shows that a test asks for the right thing."""
    if CTR is None:
        pytest.skip("ctr is missing: apt-get install containerd")
    with request.param() as daemon:
        yield daemon


@pytest.fixture
def ours() -> Iterator[Daemon]:
    if CTR is None:
        pytest.skip("ctr is missing: apt-get install containerd")
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of busybox."""
    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    path.write_bytes(oci_layout("busybox:latest", {"Cmd": ["sh"], "Env": ["PATH=/bin"]}))
    return path

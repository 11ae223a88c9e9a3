from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.images import oci_layout
from tests.integration.daemon import CTR, Daemon, Reference
from tests.integration.shim.box import BUSYBOX, clear


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of busybox."""
    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    path.write_bytes(oci_layout("busybox:latest", {"Cmd": ["sh"], "Env": ["PATH=/bin"]}))
    return path


@pytest.fixture(scope="module", params=[Daemon, Reference], ids=["ours", "reference"])
def module_daemon(request: pytest.FixtureRequest, archive: Path) -> Iterator[Daemon]:
    """Ours, and Debian's containerd with its own shim, which shows that a test asks for the right thing."""
    if CTR is None:
        pytest.skip("ctr is missing: apt-get install containerd")
    with request.param() as daemon:
        daemon.ok("images", "import", str(archive))
        assert BUSYBOX in daemon.ok("images", "ls", "-q")
        yield daemon


@pytest.fixture
def daemon(module_daemon: Daemon) -> Iterator[Daemon]:
    yield module_daemon
    clear(module_daemon)


@pytest.fixture
def ours(archive: Path) -> Iterator[Daemon]:
    """A docker-containerd that a test may kill."""
    if CTR is None:
        pytest.skip("ctr is missing: apt-get install containerd")
    with Daemon() as daemon:
        daemon.ok("images", "import", str(archive))
        yield daemon
        clear(daemon)

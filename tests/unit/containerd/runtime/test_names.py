from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.runtime.names import program_of

OURS = Path("/bin/true")


@pytest.mark.parametrize("name", ["io.containerd.runc.v2", "io.containerd.runc.v1", "io.containerd.runtime.v1.linux"])
def test_containerds_names_are_our_shim(name: str) -> None:
    assert program_of(name, OURS) == OURS


def test_path_is_that_shim(tmp_path: Path) -> None:
    (tmp_path / "shim").touch()
    (tmp_path / "link").symlink_to(OURS)
    assert program_of(str(tmp_path / "shim"), OURS) == tmp_path / "shim"
    assert program_of(str(tmp_path / "link"), OURS) == OURS


def test_name_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "containerd-shim-kata-v2"
    shim.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_of("io.containerd.kata.v2", OURS) == shim


@pytest.mark.parametrize(
    ("name", "error"),
    [("io.containerd.missing.v2", errdefs.NotFound), ("/no/such", errdefs.NotFound), ("", errdefs.InvalidArgument),
     ("nonsense", errdefs.InvalidArgument), ("a.b", errdefs.InvalidArgument)],
)
def test_what_is_not_there_is_refused(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        program_of(name, OURS)

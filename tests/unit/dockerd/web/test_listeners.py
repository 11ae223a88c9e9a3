import socket
import stat
from pathlib import Path

import pytest

from protos.errdefs import AlreadyExists, FailedPrecondition, InvalidArgument
from services.dockerd.web.listeners import open_all, open_one


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_unix_socket_is_the_groups(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "docker.sock"
    (listener,) = open_one(f"unix://{path}", "0")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    connect(str(path))
    assert listener.address == f"unix://{path}"
    listener.close()
    assert not path.exists()


def test_bare_path_is_a_unix_socket(tmp_path: Path) -> None:
    (listener,) = open_one(str(tmp_path / "s"), "0")
    connect(str(tmp_path / "s"))
    listener.close()


def test_missing_default_group_is_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp

    def none(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", none)
    (listener,) = open_one(f"unix://{tmp_path}/s", "docker")
    assert (tmp_path / "s").stat().st_gid == 0
    listener.close()
    with pytest.raises(FailedPrecondition, match="failed to load listeners: group nosuch not found"):
        open_one(f"unix://{tmp_path}/s", "nosuch")


def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    (listener,) = open_one(path, "0")
    connect(path)
    listener.close()


def test_living_socket_is_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    (first,) = open_one(path, "0")
    with pytest.raises(AlreadyExists, match="a process listens on it"):
        open_one(path, "0")
    connect(path)
    first.close()


def test_successors_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (first,) = open_one(str(path), "0")
    path.rename(tmp_path / "old")
    (second,) = open_one(str(path), "0")
    first.close()
    connect(str(path))
    second.close()


def test_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("data")
    with pytest.raises(AlreadyExists, match="a file that is not a socket"):
        open_one(str(tmp_path / "s"), "0")


@pytest.mark.parametrize(
    ("host", "family"),
    [("tcp://127.0.0.1:0", socket.AF_INET), ("127.0.0.1:0", socket.AF_INET), ("tcp://[::1]:0", socket.AF_INET6)],
)
def test_tcp_listens(host: str, family: socket.AddressFamily) -> None:
    (listener,) = open_one(host, "0")
    with socket.socket(family) as client:
        client.connect(listener.socket.getsockname()[:2])
    assert listener.address.startswith("tcp://[::1]:" if family == socket.AF_INET6 else "tcp://127.0.0.1:")
    listener.close()


def test_tcp_is_not_delayed() -> None:
    (listener,) = open_one("tcp://127.0.0.1:0", "0")
    assert listener.socket.proto == socket.IPPROTO_TCP  # what asyncio looks at
    listener.close()


def test_tcp_without_host_is_this_machine_alone() -> None:
    (listener,) = open_one("tcp://:0", "0")
    assert listener.socket.getsockname()[0] == "127.0.0.1"
    listener.close()


def test_port_in_use_is_named() -> None:
    (first,) = open_one("tcp://127.0.0.1:0", "0")
    port = first.socket.getsockname()[1]
    with pytest.raises(FailedPrecondition, match=f"listen tcp 127.0.0.1:{port}: bind: address already in use"):
        open_one(f"tcp://127.0.0.1:{port}", "0")
    first.close()


@pytest.mark.parametrize("host", ["foo://x", "tcp://127.0.0.1:x", "tcp://127.0.0.1:99999", "unix://relative", "tcp://a:1/b"])
def test_bad_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidArgument, match="failed to load listeners: invalid bind address"):
        open_one(host, "0")


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no sockets found via socket activation"):
        open_one("fd://", "0")
    with pytest.raises(InvalidArgument, match="longer than 107 bytes"):
        open_one("unix:///" + "x" * 107, "0")


def test_all_or_none_are_opened(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        open_all((str(tmp_path / "s"), "foo://x"), "0")
    assert not list(tmp_path.iterdir())
    opened = open_all((str(tmp_path / "a"), str(tmp_path / "b")), "0")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    for listener in opened:
        listener.close()

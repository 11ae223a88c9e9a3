import logging
from pathlib import Path

import pytest

from protos.errdefs import Conflict
from services.dockerd.container.container import Health
from services.dockerd.container.state import Status
from services.dockerd.container.store import Store, readable
from services.dockerd.schema.container import EndpointSettings
from tests.unit.dockerd.container import made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_saved_is_loaded(store: Store) -> None:
    box = made.container(
        store.root, endpoints={"bridge": EndpointSettings(Aliases=["x"])}, restart_count=3, started_before=True,
        manually_stopped=True, boot_id="b", health=Health("healthy", 0, [{"ExitCode": 0}]))
    store.create(box)
    box.state = box.state.started(9, 10).exited(4, 20)
    store.save(box)
    (read,) = store.load()
    for field in ("id", "name", "created", "path", "args", "config", "host", "image", "driver", "endpoints", "state",
                  "restart_count", "started_before", "manually_stopped", "boot_id", "health"):
        assert getattr(read, field) == getattr(box, field), field


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.v2.json", b""),
        ("config.v2.json", b"{"),
        ("config.v2.json", b"[]"),
        ("config.v2.json", b"{}"),
        ("config.v2.json", b'{"ID": 3}'),
        ("config.v2.json", b'{"ID": "' + b"b" * 64 + b'"}'),
    ],
)
def test_a_corrupt_file_costs_its_container_alone(
    store: Store, caplog: pytest.LogCaptureFixture, name: str, text: bytes
) -> None:
    broken = made.container(store.root, "b" * 64, "broken")
    store.create(broken)
    store.create(made.container(store.root))
    (broken.directory / name).write_bytes(text)
    with caplog.at_level(logging.ERROR):
        assert [each.name for each in store.load()] == ["box"]
    assert str(broken.directory) in caplog.text
    assert (broken.directory / name).read_bytes() == text
    assert broken.id in store.kept()


def test_a_missing_file_costs_its_container_alone(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    (box.directory / "config.v2.json").unlink()
    assert list(store.load()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"null", "Input should be an object"), (b'{"Memory": "much"}', "Memory: Input should be a valid integer"),
     (b"\xff", "Invalid JSON"), (None, "No such file or directory")],
)
def test_broken_host_config_keeps_its_container_listed(store: Store, text: bytes | None, said: str) -> None:
    box = made.container(store.root)
    store.create(box)
    file = box.directory / "hostconfig.json"
    file.unlink() if text is None else file.write_bytes(text)
    (loaded,) = store.load()
    assert loaded.name == "box" and said in loaded.unreadable
    with pytest.raises(Conflict, match="cannot be read"):
        readable(loaded)
    with pytest.raises(Conflict, match="cannot be read"):
        store.save_host(loaded)
    assert (file.read_bytes() if file.exists() else None) == text


def test_unknown_keys_are_passed_over(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    (box.directory / "hostconfig.json").write_bytes(b'{"Memory": 4096, "FutureKey": {"a": [1]}}')
    (loaded,) = store.load()
    assert loaded.host.Memory == 4096
    readable(loaded)


def test_a_torn_temporary_file_is_no_harm(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    (box.directory / ".config.v2.json.tmp").write_bytes(b'{"ID"')
    assert [each.id for each in store.load()] == [box.id]


def test_a_removal_is_remembered_until_it_is_done(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    store.discard(box)
    assert list(store.load()) == [] and store.discarded() == [box.id]
    store.purge(box.id)
    assert store.discarded() == [] and list(store.root.iterdir()) == []


def test_a_removed_container_is_not_saved_back(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    store.discard(box)
    store.save(box)
    assert list(store.load()) == []


def test_files_are_the_owners_alone(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    assert (box.directory / "config.v2.json").stat().st_mode & 0o777 == 0o600
    assert box.directory.stat().st_mode & 0o777 == 0o710


def test_a_status_of_dockers_own_is_kept(store: Store) -> None:
    box = made.container(store.root)
    store.create(box)
    box.state = box.state.after("remove")
    store.save(box)
    (read,) = store.load()
    assert read.state.status is Status.REMOVING


def test_what_was_not_created_to_the_end_is_cleared_away(store: Store) -> None:
    box = made.container(store.root)
    (box.directory / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        store.create(box)
    assert store.discarded() == [box.id]
    store.purge(box.id)
    assert store.discarded() == []

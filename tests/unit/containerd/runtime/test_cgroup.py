from pathlib import Path

import pytest

from services.containerd.runtime import cgroup


@pytest.fixture
def hybrid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A version 1 tree in which we are in /system/us."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr(cgroup, "of_process", lambda pid: {"freezer": "/system/us", "": "/"})
    return tmp_path


@pytest.mark.parametrize(
    ("actual", "configured", "found"),
    [
        ("/docker/box", "/docker/box", "freezer/docker/box"),
        ("/docker/box/nested", "/docker/box", "freezer/docker/box"),
        ("", "/docker/box", "freezer/docker/box"),
        ("/outer/docker/box", "/docker/box", "freezer/outer/docker/box"),
        ("/system.slice/docker-box.scope", "system.slice:docker:box", "freezer/system.slice/docker-box.scope"),
        ("", "system.slice:docker:box", "freezer/system.slice/docker-box.scope"),
        ("", "", None),
        ("/", "/", None),
        ("/system/us", "", None),
        ("/system", "/system", None),
    ],
)
def test_group_is_found_and_never_more_than_the_container(
    hybrid: Path, actual: str, configured: str, found: str | None
) -> None:
    groups = {"freezer": actual} if actual else {}
    assert cgroup.find(groups, configured) == (hybrid / found if found else None)


def test_missing_group_has_nobody(tmp_path: Path) -> None:
    assert not cgroup.kill(tmp_path / "none")


def test_version_two_has_a_switch(tmp_path: Path) -> None:
    (tmp_path / "cgroup.kill").touch()
    assert cgroup.kill(tmp_path)
    assert (tmp_path / "cgroup.kill").read_text() == "1"


def test_empty_groups_are_removed_in_every_hierarchy(tmp_path: Path) -> None:
    for controller in ("pids", "freezer"):
        (tmp_path / controller / "docker" / "abc" / "below").mkdir(parents=True)
        (tmp_path / controller / "docker" / "other").mkdir()
    assert cgroup.remove("/docker/abc", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*/docker/*")) == ["other", "other"]


def test_only_a_path_of_its_own_is_removed(tmp_path: Path) -> None:
    (tmp_path / "pids" / "x").mkdir(parents=True)
    for configured in ("", "/", "system.slice:docker:abc", "/never-there"):
        assert cgroup.remove(configured, tmp_path)
    assert (tmp_path / "pids" / "x").is_dir()


@pytest.mark.parametrize(
    ("configured", "path"),
    [
        ("/docker/id", "/docker/id"),
        ("", ""),
        ("system.slice:docker:id", "/system.slice/docker-id.scope"),
        ("a-b-c.slice:docker:id", "/a.slice/a-b.slice/a-b-c.slice/docker-id.scope"),
        (":docker:id", "/system.slice/docker-id.scope"),
        ("-.slice::id", "/id.scope"),
    ],
)
def test_a_slice_and_a_name_are_a_path(configured: str, path: str) -> None:
    assert cgroup.as_path(configured) == path

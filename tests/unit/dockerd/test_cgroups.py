from pathlib import Path

from services.dockerd import cgroups


def test_empty_parent_is_removed_everywhere(tmp_path: Path) -> None:
    for hierarchy in ("cpu", "memory"):
        (tmp_path / hierarchy / "docker").mkdir(parents=True)
    (tmp_path / "pids" / "docker" / "container").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    cgroups.remove_parent(tmp_path)
    assert {path.name for path in tmp_path.rglob("docker")} == {"docker"}
    assert (tmp_path / "pids" / "docker" / "container").is_dir()
    assert not (tmp_path / "cpu" / "docker").exists() and not (tmp_path / "memory" / "docker").exists()

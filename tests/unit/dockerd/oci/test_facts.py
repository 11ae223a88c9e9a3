"""What the control groups of a kernel tell it can do."""

from pathlib import Path

from services.dockerd.oci.facts import _swap_v2


def test_swap_is_limited_where_a_group_says_so(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system/memory.swap.max").touch()
    assert _swap_v2(tmp_path)


def test_swap_is_limited_in_a_group_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "memory.swap.max").touch()
    assert _swap_v2(tmp_path)


def test_swap_is_not_limited_where_groups_have_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system/memory.current").touch()
    assert not _swap_v2(tmp_path)

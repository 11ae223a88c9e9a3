"""Forwarding is switched on where it is needed, and only what was switched on is switched off."""

from pathlib import Path

from services.dockerd.network.forwarding import Forwarding


def switches(tmp_path: Path, *values: str) -> list[Path]:
    found = [tmp_path / f"switch{number}" for number in range(len(values))]
    for path, value in zip(found, values, strict=True):
        path.write_text(value + "\n")
    return found


def test_what_is_on_is_left_alone(tmp_path: Path) -> None:
    (path,) = switches(tmp_path, "1")
    forwarding = Forwarding(tmp_path / "mark", [path])
    assert not forwarding.enable() and not forwarding.restore()
    assert path.read_text() == "1\n"


def test_what_was_switched_on_goes_off_again(tmp_path: Path) -> None:
    first, second = switches(tmp_path, "1", "0")
    assert Forwarding(tmp_path / "mark", [first, second]).enable()
    successor = Forwarding(tmp_path / "mark", [first, second])
    assert successor.enable()
    assert [each.read_text().strip() for each in (first, second)] == ["1", "1"]
    assert successor.restore()
    assert [each.read_text().strip() for each in (first, second)] == ["1", "0"]
    assert not successor.restore()


def test_another_boot_has_nothing_to_restore(tmp_path: Path) -> None:
    (path,) = switches(tmp_path, "0")
    forwarding = Forwarding(tmp_path / "mark", [path])
    forwarding.enable()
    (tmp_path / "mark").write_text(f"another boot\n{path}")
    assert not forwarding.restore() and path.read_text().strip() == "1"

"""aufs without a kernel that has it: its mounts to the byte, and the layers in its branches."""

import os
from pathlib import Path

import pytest

from protos import errdefs
from services.containerd.diff import mounted
from services.containerd.diff.apply import apply
from services.containerd.diff.compare import branch_layer
from services.containerd.diff.whiteout import Form
from services.containerd.snapshots import aufs
from services.containerd.snapshots.aufs import Aufs
from tests.unit.containerd.diff.archive import Builder, names

TAIL = ["dio", "noplink", "xino=/dev/shm/aufs.xino"]


@pytest.fixture
def driver(tmp_path: Path) -> Aufs:
    made = Aufs(tmp_path / "aufs")
    made.open(set())
    for number in (1, 2, 3):
        made.make(number, list(range(number - 1, 0, -1)), writable=True)
    return made


def test_a_container_is_a_branch_on_branches(driver: Aufs) -> None:
    (mount,) = driver.mounts(3, [2, 1], writable=True)
    branches = [f"{driver.root}/{number}/diff" for number in (3, 2, 1)]
    assert (mount.type, mount.source) == ("aufs", "none")
    assert list(mount.options) == [f"br:{branches[0]}=rw:{branches[1]}=ro+wh:{branches[2]}=ro+wh", *TAIL]


def test_a_view_has_no_branch_of_its_own(driver: Aufs) -> None:
    (mount,) = driver.mounts(4, [2, 1], writable=False)
    assert mount.options[0] == f"br:{driver.root}/2/diff=ro+wh:{driver.root}/1/diff=ro+wh"
    assert list(mount.options[1:]) == [*TAIL, "ro"]


def test_dirperm1_is_asked_for_where_it_is_there(driver: Aufs) -> None:
    driver.dirperm1 = True
    (mount,) = driver.mounts(3, [2], writable=True)
    assert list(mount.options[1:]) == [*TAIL, "dirperm1"]


def test_one_layer_needs_no_stacking(driver: Aufs) -> None:
    ((base,), (view,)) = driver.mounts(1, [], writable=True), driver.mounts(4, [1], writable=False)
    assert (base.type, base.source, list(base.options)) == ("bind", f"{driver.root}/1/diff", ["rw", "rbind"])
    assert (view.type, view.source, list(view.options)) == ("bind", f"{driver.root}/1/diff", ["ro", "rbind"])


def test_branches_beyond_a_page_are_appended() -> None:
    layers = [Path(f"/data/aufs/{number}/diff") for number in range(300)]
    first, *more = aufs.stack(Path("/data/aufs/300/diff"), layers, dirperm1=True)
    assert more and all("remount" in mount.options for mount in more)
    data = [",".join(text for text in mount.options if text != "remount") for mount in [first, *more]]
    assert all(len(text) < os.sysconf("SC_PAGE_SIZE") for text in data)
    found = mounted.branches([first, *more])
    assert found == [(Path("/data/aufs/300/diff"), "rw"), *((layer, "ro+wh") for layer in layers)]


def test_layers_are_unpacked_into_the_branch(driver: Aufs) -> None:
    place = mounted.writable(driver.mounts(3, [2, 1], writable=True), {})
    assert place == mounted.Layer(driver.root / "3/diff", (driver.root / "2/diff", driver.root / "1/diff"), Form.FILE)
    assert mounted.writable(driver.mounts(4, [2, 1], writable=False), {}) is None


def test_what_cannot_be_is_refused(driver: Aufs, tmp_path: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="--storage-opt is not supported for aufs"):
        driver.make(9, [1], writable=True, size=1)
    with pytest.raises(errdefs.InvalidArgument, match="aufs: unknown option x"):
        Aufs(tmp_path, {"x": "1"})
    if "aufs" not in Path("/proc/filesystems").read_text():
        assert driver.refusal(tmp_path) == "AUFS was not found in /proc/filesystems: this kernel has no aufs"


def test_its_own_files_are_in_no_size(driver: Aufs) -> None:
    branch = driver.root / "3/diff"
    (branch / "f").write_bytes(bytes(4096))
    before = driver.usage(3, [2, 1])
    (branch / ".wh..wh.orph").mkdir()
    (branch / ".wh..wh.orph/x").write_bytes(bytes(9000))
    (branch / ".wh..wh.aufs").touch()
    assert driver.usage(3, [2, 1]) == before


def test_status_counts_the_layers(driver: Aufs) -> None:
    rows = dict(driver.status())
    assert (rows["Root Dir"], rows["Dirs"], rows["Dirperm1 Supported"]) == (str(driver.root), "3", "false")


class TestWhiteouts:
    def unpack(self, root: Path, archive: Builder) -> set[str]:
        apply(root, [archive.plain()], form=Form.FILE)
        return {str(path.relative_to(root)) for path in root.rglob("*")}

    def test_stay_as_they_are(self, tmp_path: Path) -> None:
        archive = Builder().add(".wh.gone").directory("d").add("d/.wh..wh..opq").add("d/f", b"x")
        assert self.unpack(tmp_path, archive) == {".wh.gone", "d", "d/.wh..wh..opq", "d/f"}

    def test_go_where_the_layer_brings_the_name(self, tmp_path: Path) -> None:
        archive = Builder().add(".wh.f").add("f", b"x").add("g", b"y").add(".wh.g")
        assert self.unpack(tmp_path, archive) == {"f", "g"}

    def test_of_a_directory_made_again_hide_its_old_files(self, tmp_path: Path) -> None:
        archive = Builder().add(".wh.d").directory("d").directory("e").add(".wh.e").add(".wh.i").add("i/f")
        assert self.unpack(tmp_path, archive) == {"d", "d/.wh..wh..opq", "e", "e/.wh..wh..opq", "i", "i/.wh..wh..opq",
                                                  "i/f"}

    def test_aufs_files_in_an_archive_are_left_out(self, tmp_path: Path) -> None:
        assert self.unpack(tmp_path, Builder().directory(".wh..wh.plnk").add(".wh..wh.aufs").add("f")) == {"f"}

    def test_are_packed_again(self, tmp_path: Path) -> None:
        self.unpack(tmp_path, Builder().add(".wh.gone").directory("d").add("d/.wh..wh..opq").add("d/f", b"x"))
        (tmp_path / ".wh..wh.plnk").mkdir()
        assert set(names(b"".join(branch_layer(tmp_path)))) == {".wh.gone", "d", "d/.wh..wh..opq", "d/f"}

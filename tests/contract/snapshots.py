"""What every snapshotter promises, as tests: bound to an implementation by a subclass that opens one.

The rules are those of services/containerd/snapshots/snapshotter.py; the file systems are really mounted.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from protos import errdefs
from protos.containerd.services.snapshots.v1 import snapshots_pb2
from protos.containerd.services.snapshots.v1.snapshots_pb2 import Info
from protos.containerd.types.mount_pb2 import Mount
from services.containerd.diff.apply import apply
from services.containerd.diff.mounted import mounted, writable
from services.containerd.diff.whiteout import Form
from services.containerd.metadata.db import Database
from services.containerd.metadata.leases import Leases
from services.containerd.metadata.snapshots import SnapshotRows
from services.containerd.snapshots.driver import Driver
from services.containerd.snapshots.snapshotter import Snapshotter
from tests.unit.containerd.diff.archive import Builder

NS = "default"


class Fixture:
    """A snapshotter on a root of its own, that can be opened again as after a crash."""

    def __init__(self, path: Path, make: "Callable[[Path], Driver]") -> None:
        self.path = path
        self.scratch = path / "mounts"
        self.scratch.mkdir(exist_ok=True)
        self._make = make
        self.db = Database(path / "meta.db")
        driver = make(path / "driver")
        refusal = driver.refusal(self.scratch)
        assert not refusal, refusal
        self.snapshotter = Snapshotter(SnapshotRows(self.db, Leases(self.db), driver.name), driver)
        self.snapshotter.open()
        form = {"overlayfs": Form.DEVICE, "aufs": Form.FILE}.get(driver.name)
        self.layered = {driver.root: form} if form else {}

    def reopen(self) -> "Fixture":
        self.db.close()
        return Fixture(self.path, self._make)

    def prepare(self, key: str, parent: str = "", **labels: str) -> list[Mount]:
        return asyncio.run(self.snapshotter.prepare(NS, key, parent, labels, ""))

    def view(self, key: str, parent: str = "") -> list[Mount]:
        return asyncio.run(self.snapshotter.view(NS, key, parent, {}, ""))

    def commit(self, key: str, name: str, parent: str = "", **labels: str) -> None:
        asyncio.run(self.snapshotter.commit(NS, key, name, labels, "", parent))

    def apply(self, mounts: Sequence[Mount], layer: bytes) -> None:
        """Unpack a layer as the differ does it: in place where it can."""
        place = writable(mounts, self.layered)
        if place is None:
            with self.mounted(mounts) as root:
                apply(root, [layer])
            return
        apply(place.path, [layer], form=place.form, parents=place.parents)

    def remove(self, key: str) -> None:
        async def work() -> None:
            self.snapshotter.remove(NS, key)
            await self.snapshotter.close()

        asyncio.run(work())

    def usage(self, key: str) -> tuple[int, int]:
        return asyncio.run(self.snapshotter.usage(NS, key))

    @contextmanager
    def mounted(self, mounts: Sequence[Mount]) -> Iterator[Path]:
        with mounted(mounts, self.scratch) as path:
            yield path

    def layer(self, name: str, parent: str = "", **files: str) -> None:
        """A committed snapshot with these files on top of the parent's."""
        with self.mounted(self.prepare(f"{name}-work", parent)) as root:
            for file, text in files.items():
                (root / file).write_text(text)
        self.commit(f"{name}-work", name)

    def files(self, mounts: Sequence[Mount]) -> dict[str, str]:
        with self.mounted(mounts) as root:
            return {path.name: path.read_text() for path in root.iterdir() if path.is_file()}

    def directories(self) -> list[str]:
        return sorted(entry.name for entry in (self.path / "driver").iterdir() if entry.name.isdecimal())


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
class SnapshotterSuite:
    """Subclass it as `Test…` with `driver` set; `home` where the driver wants a file system of its own."""

    driver: type[Driver]

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def on(self, home: Path) -> Iterator[Fixture]:
        fixture = Fixture(home, self.driver)
        yield fixture
        fixture.db.close()
        left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{home}/" in line]
        assert left == []

    # Kinds and names

    def test_fresh_snapshot_is_empty_and_writable(self, on: Fixture) -> None:
        with on.mounted(on.prepare("a")) as root:
            assert list(root.iterdir()) == []
            (root / "f").write_text("x")
        assert on.files(on.snapshotter.mounts(NS, "a")) == {"f": "x"}

    def test_root_of_a_fresh_snapshot_can_be_entered_by_anybody(self, on: Fixture) -> None:
        with on.mounted(on.prepare("a")) as root:
            assert stat.S_IMODE(root.stat().st_mode) == 0o755

    def test_commit_renames(self, on: Fixture) -> None:
        on.prepare("a", x="1")
        on.commit("a", "b", y="2")
        info = on.snapshotter.stat(NS, "b")
        added = ("containerd.io/snapshot/", "dockerd.io/snapshot/")
        own = {key: value for key, value in info.labels.items() if not key.startswith(added)}
        assert (info.name, info.kind, own) == ("b", snapshots_pb2.COMMITTED, {"y": "2"})
        with pytest.raises(errdefs.NotFound):
            on.snapshotter.stat(NS, "a")

    def test_key_is_taken_once(self, on: Fixture) -> None:
        on.layer("base")
        on.prepare("a")
        for parent in ("", "base"):
            with pytest.raises(errdefs.AlreadyExists):
                on.prepare("a", parent)
        with pytest.raises(errdefs.AlreadyExists):
            on.view("a", "base")
        with pytest.raises(errdefs.AlreadyExists):
            on.commit("a", "base")
        assert len(on.directories()) == 2

    def test_key_can_be_used_again_after_commit_and_removal(self, on: Fixture) -> None:
        on.prepare("a")
        on.commit("a", "b")
        on.prepare("a")
        on.remove("a")
        on.prepare("a")

    def test_empty_key_is_refused(self, on: Fixture) -> None:
        with pytest.raises(errdefs.InvalidArgument):
            on.prepare("")
        on.prepare("a")
        with pytest.raises(errdefs.InvalidArgument):
            on.commit("a", "")

    def test_only_active_snapshots_are_committed(self, on: Fixture) -> None:
        on.layer("base")
        on.view("v", "base")
        for key in ("v", "base"):
            with pytest.raises(errdefs.FailedPrecondition):
                on.commit(key, "other")
        with pytest.raises(errdefs.NotFound):
            on.commit("missing", "other")

    def test_only_committed_snapshots_are_parents(self, on: Fixture) -> None:
        on.layer("base")
        on.prepare("a")
        on.view("v", "base")
        for parent in ("a", "v"):
            with pytest.raises(errdefs.InvalidArgument):
                on.prepare("b", parent)
        with pytest.raises(errdefs.NotFound):
            on.prepare("b", "missing")
        assert len(on.snapshotter.select(NS, [])) == 3

    def test_committed_snapshots_have_no_mounts(self, on: Fixture) -> None:
        on.layer("base")
        with pytest.raises(errdefs.InvalidArgument):
            on.snapshotter.mounts(NS, "base")
        with pytest.raises(errdefs.NotFound):
            on.snapshotter.mounts(NS, "missing")

    def test_namespaces_are_apart(self, on: Fixture) -> None:
        on.layer("base")
        with pytest.raises(errdefs.NotFound):
            asyncio.run(on.snapshotter.prepare("other", "a", "base", {}, ""))
        asyncio.run(on.snapshotter.prepare("other", "base", "", {}, ""))
        assert on.snapshotter.stat("other", "base").kind == snapshots_pb2.ACTIVE

    # What is seen

    def test_child_sees_all_ancestors_and_the_nearest_wins(self, on: Fixture) -> None:
        on.layer("one", a="1", b="1", c="1")
        on.layer("two", "one", b="2", c="2")
        on.layer("three", "two", c="3")
        expected = {"a": "1", "b": "2", "c": "3"}
        assert on.files(on.prepare("rw", "three")) == expected
        assert on.files(on.view("ro", "three")) == expected

    def test_writes_reach_neither_parent_nor_sibling(self, on: Fixture) -> None:
        on.layer("base", f="old", gone="x")
        with on.mounted(on.prepare("a", "base")) as root:
            (root / "f").write_text("new")
            (root / "gone").unlink()
        assert on.files(on.prepare("b", "base")) == {"f": "old", "gone": "x"}
        assert on.files(on.view("v", "base")) == {"f": "old", "gone": "x"}
        assert on.files(on.snapshotter.mounts(NS, "a")) == {"f": "new"}

    def test_removed_and_replaced_names_stay_so_in_children(self, on: Fixture) -> None:
        on.layer("base", f="1", g="1")
        with on.mounted(on.prepare("a", "base")) as root:
            (root / "d").mkdir()
            (root / "d/old").write_text("x")
            (root / "f").unlink()
            (root / "g").unlink()
            (root / "g").mkdir()
        on.commit("a", "two")
        with on.mounted(on.prepare("b", "two")) as root:
            (root / "d/old").unlink()
            (root / "d").rmdir()
            (root / "d").mkdir()
            (root / "d/new").write_text("y")
        on.commit("b", "three")
        with on.mounted(on.view("v", "three")) as root:
            assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/new", "g"]
            assert (root / "g").is_dir()

    def test_attributes_of_the_root_are_inherited(self, on: Fixture) -> None:
        with on.mounted(on.prepare("a")) as root:
            root.chmod(0o711)
            os.chown(root, 5, 6)
        on.commit("a", "base")
        with on.mounted(on.prepare("b", "base")) as root:
            facts = root.stat()
            assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (0o711, 5, 6)

    def test_attributes_of_files_are_inherited(self, on: Fixture) -> None:
        with on.mounted(on.prepare("a")) as root:
            (root / "f").write_text("x")
            os.chown(root / "f", 7, 8)
            (root / "f").chmod(0o4750)
            os.utime(root / "f", ns=(10**18, 10**18 + 5))
            os.setxattr(root / "f", "trusted.note", b"n")
            os.link(root / "f", root / "hard")
            (root / "link").symlink_to("/nowhere")
            os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        on.commit("a", "base")
        with on.mounted(on.prepare("b", "base")) as root:
            facts = (root / "f").stat()
            assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (7, 8, 0o4750)
            assert facts.st_mtime_ns == 10**18 + 5
            assert os.getxattr(root / "f", "trusted.note") == b"n"
            assert (root / "hard").stat().st_nlink == 2
            assert (root / "link").readlink() == Path("/nowhere")
            assert (root / "null").stat().st_rdev == os.makedev(1, 3)

    def test_view_cannot_be_written(self, on: Fixture) -> None:
        on.layer("one", f="x")
        on.layer("two", "one", g="y")
        for parent in ("one", "two"):
            mounts = on.view(f"v-{parent}", parent)
            assert all("rw" not in mount.options and "upperdir" not in str(mount.options) for mount in mounts)
        assert any("ro" in mount.options or mount.type == "overlay" for mount in mounts)

    def test_mounts_stay_the_same(self, on: Fixture) -> None:
        on.layer("base", f="x")
        mounts = on.prepare("a", "base")
        assert on.snapshotter.mounts(NS, "a") == mounts
        assert on.reopen().snapshotter.mounts(NS, "a") == mounts

    # Listing, labels, usage

    def test_list_and_filters(self, on: Fixture) -> None:
        on.layer("base")
        on.prepare("a", "base", x="1")
        on.view("v", "base")
        found = {info.name: info for info in on.snapshotter.select(NS, [])}
        assert {name: info.kind for name, info in found.items()} == {
            "base": snapshots_pb2.COMMITTED, "a": snapshots_pb2.ACTIVE, "v": snapshots_pb2.VIEW,
        }
        assert (found["a"].parent, found["base"].parent) == ("base", "")
        wanted = {"parent==base": {"a", "v"}, "kind==Active": {"a"}, "labels.x==1": {"a"}, "name==v": {"v"}}
        for text, names in wanted.items():
            assert {info.name for info in on.snapshotter.select(NS, [text])} == names

    def test_labels_are_updated_by_mask(self, on: Fixture) -> None:
        on.prepare("a", x="1", y="2")
        changed = on.snapshotter.update(NS, Info(name="a", labels={"x": "9"}), ["labels.x"])
        assert changed.labels == {"x": "9", "y": "2"}
        assert on.snapshotter.stat(NS, "a").updated_at.ToNanoseconds() > changed.created_at.ToNanoseconds()
        with pytest.raises(errdefs.InvalidArgument):
            on.snapshotter.update(NS, Info(name="a"), ["parent"])

    def test_usage_grows_with_what_is_written(self, on: Fixture) -> None:
        on.layer("base", f="x" * 100_000)
        before = on.usage("base")
        assert before[0] >= 100_000
        with on.mounted(on.prepare("a")) as root:
            first = on.usage("a")
            (root / "g").write_bytes(bytes(50_000))
            (root / "h").write_bytes(b"")
            after = on.usage("a")
        assert after[0] - first[0] >= 50_000
        assert after[1] - first[1] == 2
        assert on.usage("base") == before

    # Removal

    def test_parent_is_removed_after_its_children(self, on: Fixture) -> None:
        on.layer("base")
        on.prepare("a", "base")
        with pytest.raises(errdefs.FailedPrecondition):
            on.remove("base")
        on.remove("a")
        on.remove("base")
        with pytest.raises(errdefs.NotFound):
            on.remove("base")
        assert on.snapshotter.select(NS, []) == []

    def test_removal_gives_the_space_back(self, on: Fixture) -> None:
        on.layer("base", f="x")
        on.prepare("a", "base")
        on.remove("a")
        on.remove("base")
        asyncio.run(on.snapshotter.cleanup())
        assert [path for path in (on.path / "driver").glob("*/**/*") if path.is_file()] == []
        assert on.directories() == []

    def test_removed_while_mounted_goes_on_to_work(self, on: Fixture) -> None:
        on.layer("base", f="x")
        with on.mounted(on.prepare("a", "base")) as root:
            file = (root / "f").open()
            on.remove("a")
            assert file.read() == "x"
            file.close()
        assert on.directories() == ["1"]

    # Crashes

    def test_everything_is_there_after_a_restart(self, on: Fixture) -> None:
        on.layer("base", f="x")
        with on.mounted(on.prepare("a", "base")) as root:
            (root / "g").write_text("y")
        again = on.reopen()
        assert again.files(again.snapshotter.mounts(NS, "a")) == {"f": "x", "g": "y"}
        assert again.prepare("b", "base")

    def test_half_made_directories_are_gone_after_a_restart(self, on: Fixture) -> None:
        on.prepare("a")
        for name in ("77", "78"):
            (on.path / "driver" / name / "fs").mkdir(parents=True)
        again = on.reopen()
        assert again.directories() == ["1"]
        asyncio.run(again.snapshotter.cleanup())
        assert list((again.path / "driver" / "trash").iterdir()) == []

    def test_failed_preparation_leaves_nothing(self, on: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
        on.layer("base", f="x")
        make = on.snapshotter.driver.make

        def fail(number: int, parents: list[int], *, writable: bool, size: int = 0) -> None:
            make(number, parents, writable=writable)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(on.snapshotter.driver, "make", fail)
        with pytest.raises(errdefs.ResourceExhausted, match="no space"):
            on.prepare("a", "base")
        monkeypatch.undo()
        assert (on.directories(), len(on.snapshotter.select(NS, []))) == (["1"], 1)
        on.prepare("a", "base")

    def test_lost_lease_makes_nothing(self, on: Fixture) -> None:
        with pytest.raises(errdefs.NotFound):
            asyncio.run(on.snapshotter.prepare(NS, "a", "", {}, "lease"))
        assert (on.directories(), on.snapshotter.select(NS, [])) == ([], [])

    # Parallel unpacking

    def test_parent_given_at_commit(self, on: Fixture) -> None:
        on.layer("base", f="1", g="1")
        with on.mounted(on.prepare("a")) as root:
            (root / "f").write_text("2")
        if not on.snapshotter.driver.rebases:
            with pytest.raises(errdefs.Unimplemented):
                on.commit("a", "two", "base")
            return
        on.commit("a", "two", "base")
        assert on.snapshotter.stat(NS, "two").parent == "base"
        assert on.files(on.view("v", "two")) == {"f": "2", "g": "1"}

    def test_parent_at_commit_must_be_the_same(self, on: Fixture) -> None:
        on.layer("base")
        on.layer("other")
        on.prepare("a", "base")
        with pytest.raises(errdefs.InvalidArgument):
            on.commit("a", "two", "other")
        on.commit("a", "two", "base")

    def test_a_commit_cut_short_is_repeated(self, on: Fixture) -> None:
        on.layer("base", f="1", gone="1")
        with on.mounted(on.prepare("a", "base")) as root:
            (root / "gone").unlink()
            (root / "g").write_text("2")
        if on.snapshotter.driver.seals:
            on.snapshotter.driver.seal(2, [1])
        again = on.reopen()
        with again.mounted(again.snapshotter.mounts(NS, "a")) as root:
            (root / "h").write_text("3")
        again.commit("a", "two")
        assert again.files(again.view("v", "two")) == {"f": "1", "g": "2", "h": "3"}

    # Layers

    def test_layers_are_unpacked_with_their_whiteouts(self, on: Fixture) -> None:
        base = Builder().directory("d").add("d/old", b"1").add("gone", b"2").add("kept", b"3")
        on.apply(on.prepare("a"), base.plain())
        on.commit("a", "one")
        top = Builder().add(".wh.gone").directory("d").add("d/.wh..wh..opq").add("d/new", b"4").add("e/f", b"5")
        on.apply(on.prepare("b", "one"), top.plain())
        on.commit("b", "two")
        with on.mounted(on.view("v", "two")) as root:
            assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/new", "e", "e/f", "kept"]

    def test_a_hundred_and_thirty_layers(self, on: Fixture) -> None:
        for number in range(130):
            mounts = on.prepare("work", str(number - 1) if number else "")
            on.apply(mounts, Builder().add(f"f{number}", b"x").add("same", str(number).encode()).plain())
            on.commit("work", str(number))
        for mounts in (on.view("v", "129"), on.prepare("rw", "129")):
            with on.mounted(mounts) as root:
                assert (len(list(root.iterdir())), (root / "same").read_text()) == (131, "129")

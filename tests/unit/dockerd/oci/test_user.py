import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.oci import user

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment
broken:x
bob:x:1000:1001:Bob:/home/bob:/bin/sh
twin:x:1000:1002::/home/twin:
wrap:x:4294967296:0::/:
minus:x:-1:0::/:
"""
GROUP = """\
root:x:0:root
adm:x:4:root,bob
bob:x:1001:
video:x:44:alice,bob
huge:x:4294967296:
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("asked", "uid", "gid", "additional"),
    [
        ("", 0, 0, (0, 4)),
        ("root", 0, 0, (0, 4)),
        ("bob", 1000, 1001, (1001, 4, 44)),
        ("1000", 1000, 1001, (1001, 4, 44)),
        ("bob:adm", 1000, 4, (4,)),
        ("bob:777", 1000, 777, (777,)),
        ("4711", 4711, 0, (0,)),
        ("4711:44", 4711, 44, (44,)),
        (":44", 0, 44, (44,)),
        ("2147483647", 2147483647, 0, (0,)),
    ],
)
def test_user_is_resolved(root: int, asked: str, uid: int, gid: int, additional: tuple[int, ...]) -> None:
    found = user.resolve(root, asked)
    assert (found.uid, found.gid, found.additional) == (uid, gid, additional)


def test_added_groups_are_resolved(root: int) -> None:
    assert user.resolve(root, "4711", ["video", "99", "adm"]).additional == (0, 44, 99, 4)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("0x0", "unable to find user 0x0: no matching entries in passwd file"),
        ("1_000", "no matching entries in passwd file"),
        ("१", "no matching entries in passwd file"),
        ("bob:wheel", "unable to find group wheel: no matching entries in group file"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("4294967296", "uids and gids must be in range 0-2147483647"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("0:-1", "uids and gids must be in range 0-2147483647"),
        ("wrap", "uids and gids must be in range 0-2147483647"),
        ("bob:huge", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_bad_user_is_refused(root: int, asked: str, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        user.resolve(root, asked)


def test_unknown_added_group_is_refused(root: int) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="Unable to find group wheel: no matching entries in group file"):
        user.resolve(root, "", ["wheel"])


def test_image_without_files_has_root(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    assert user.resolve(fd, "") == user.User(0, 0, (0,), "/")
    with pytest.raises(errdefs.InvalidArgument):
        user.resolve(fd, "root")
    os.close(fd)


@pytest.mark.parametrize("trap", ["pipe", "huge", "link", "device", "directory"])
def test_trapped_group_file_harms_nobody(root: int, tmp_path: Path, trap: str) -> None:
    group = tmp_path / "etc/group"
    group.unlink()
    if trap == "pipe":
        os.mkfifo(group)
    elif trap == "huge":
        with group.open("wb") as file:
            file.truncate(1 << 30)
    elif trap == "device":
        group.symlink_to("../dev/zero")
    elif trap == "link":
        (tmp_path / "etc/real").write_text("secret:x:5:root\n")
        group.symlink_to("/etc/real")
        assert user.resolve(root, "root").additional == (0, 5)  # beneath the root, not the host's
        return
    else:
        group.mkdir()
    with pytest.raises(errdefs.InvalidArgument):
        user.resolve(root, "root")

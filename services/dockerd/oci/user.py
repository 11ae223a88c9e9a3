"""Who a container's process runs as: `User`, `--group-add` and the container's own passwd and group files.

The files belong to the image: they are opened beneath its root, never waited for, regular files only, and read up to
a limit. Ids outside 0…2^31-1 are refused before anything can wrap around to 0.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protos import errdefs
from services.dockerd import beneath

LIMIT: Final = 1 << 20
"""Bytes of /etc/passwd and /etc/group that are believed."""
_MAX_ID: Final = (1 << 31) - 1
_KERNELS: Final = ("/dev/", "/proc/", "/sys/")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """Numeric identity of a process; `additional` holds the primary group too, `home` is "" where unknown."""

    uid: int = 0
    gid: int = 0
    additional: tuple[int, ...] = (0,)
    home: str = ""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root: int, user: str, groups: Sequence[str] = ()) -> User:
    """The identity `user` (name or uid, optionally `:` and name or gid) has beneath the directory descriptor `root`.

    `groups` are `--group-add`. InvalidArgument with Docker's text for a name without entry or a number out of range.
    """
    passwd, group = _read(root, "/etc/passwd"), _read(root, "/etc/group")
    return _identify(user, groups, list(_accounts(passwd)), list(_groups(group)))


def _read(root: int, path: str) -> bytes:
    """The file; empty where there is none. The runtime reads it again with /dev and /proc mounted, so no link there."""
    target = beneath.resolve(root, path)
    if target.startswith(_KERNELS) and target != "/dev/null":
        raise errdefs.InvalidArgument(f"{path} of the container is not a regular file, it leads to {target}")
    return beneath.read(root, path, LIMIT) or b""


def _identify(user: str, added: Sequence[str], accounts: Sequence[_Account], groups: Sequence[_Group]) -> User:
    name, _, group = user.partition(":")
    account = _account(name, accounts)
    gid, memberships = account.gid, []
    if group:
        gid = _group(group, groups, f"unable to find group {group}: no matching entries in group file")
    elif account.name:
        memberships = [entry.gid for entry in groups if account.name in entry.members]
    memberships += [
        _group(each, groups, f"Unable to find group {each}: no matching entries in group file") for each in added
    ]
    additional = tuple(dict.fromkeys(_checked(each) for each in (gid, *memberships)))
    return User(_checked(account.uid), _checked(gid), additional, account.home)


def _account(name: str, accounts: Sequence[_Account]) -> _Account:
    """The first entry that matches, else a bare number; "" is uid 0."""
    uid = _number(name or "0")
    for account in accounts:
        if account.uid == uid if uid is not None else account.name == name:
            return account
    if uid is None:
        raise errdefs.InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    return _Account("", uid, 0, "/" if not name else "")


def _group(group: str, groups: Sequence[_Group], missing: str) -> int:
    gid = _number(group)
    for entry in groups:
        if entry.gid == gid if gid is not None else entry.name == group:
            return entry.gid
    if gid is None:
        raise errdefs.InvalidArgument(missing)
    return _checked(gid)


def _checked(number: int) -> int:
    if not 0 <= number <= _MAX_ID:
        raise errdefs.InvalidArgument(f"uids and gids must be in range 0-{_MAX_ID}")
    return number


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _fields(content: bytes, least: int) -> Iterator[list[str]]:
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields


def _accounts(passwd: bytes) -> Iterator[_Account]:
    for fields in _fields(passwd, 4):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is not None and gid is not None:
            yield _Account(fields[0], uid, gid, fields[5] if len(fields) > 5 else "")


def _groups(group: bytes) -> Iterator[_Group]:
    for fields in _fields(group, 3):
        gid = _number(fields[2])
        if gid is not None:
            yield _Group(fields[0], gid, tuple(fields[3].split(",")) if len(fields) > 3 else ())

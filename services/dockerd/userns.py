"""`--userns-remap`: whose subordinate ids the containers' users are on the host, and the data root of these ids.

Names are looked up in /etc/passwd and /etc/group, ranges in /etc/subuid and /etc/subgid; `default` is the user
dockremap, who is made with ranges of its own where there is none, as Docker does.
"""

import grp
import logging
import os
import pwd
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from protos.errdefs import FailedPrecondition, InvalidArgument
from protos.idmap import Mapping, Owners, Range
from services.dockerd.config import Config
from services.dockerd.programs import which

log = logging.getLogger("userns")

DEFAULT: Final = "dockremap"
_SUBUID, _SUBGID = Path("/etc/subuid"), Path("/etc/subgid")
_FIRST, _COUNT = 100_000, 65_536
"""Where new ranges are looked for, and how long they are."""


def settle(config: Config) -> Config:
    """With `owners` and the data root that belongs to them; as it was without `--userns-remap`."""
    if not config.userns_remap:
        return config
    owners = _owners(config.userns_remap)
    if owners is None:
        return config
    uid, gid = owners.root
    return replace(config, owners=owners, data_root=config.data_root / f"{uid}.{gid}")


def as_settled(before: Config, wanted: Config) -> Config:
    """`wanted` as `before` was settled: a running daemon keeps its ids and its data root."""
    if not before.owners or wanted.userns_remap != before.userns_remap:
        return wanted
    return replace(wanted, owners=before.owners, data_root=wanted.data_root / before.data_root.name)


def open_roots(config: Config) -> None:
    """Let the containers' root pass through both roots, and through nothing else; they are made if missing."""
    if not config.owners:
        return
    for path in (config.data_root.parent, config.exec_root):
        path.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.chmod(0o711)
    config.data_root.mkdir(mode=0o710, exist_ok=True)
    os.chown(config.data_root, 0, config.owners.root[1])
    for path in (config.data_root, config.exec_root):
        if not all(_passable(each, *config.owners.root) for each in (path, *path.parents)):
            raise FailedPrecondition(
                f"a subdirectory in your graphroot path ({path}) restricts access to the remapped root uid/gid; "
                "please fix by allowing 'o+x' permissions on existing directories"
            )


def _passable(path: Path, uid: int, gid: int) -> bool:
    facts = path.stat()
    bit = 0o100 if facts.st_uid == uid else 0o010 if facts.st_gid == gid else 0o001
    return bool(facts.st_mode & bit)


def _owners(asked: str) -> Owners | None:
    name, _, group = asked.partition(":")
    if not name or asked.count(":") > 1 or asked.endswith(":"):
        raise InvalidArgument(f'invalid user/group specification in --userns-remap: "{asked}"')
    user = _default() if name == "default" else _user(name)
    if group and group != "default":
        _check_group(group)
    if user.pw_uid == 0:
        log.warning("User namespaces: root cannot be remapped with itself; user namespaces are OFF")
        return None
    try:
        return Owners(_mapping(_SUBUID, user), _mapping(_SUBGID, user))
    except (OSError, InvalidArgument) as error:
        raise InvalidArgument(f"Can't create ID mappings: {error}") from error


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError as error:
        if name.isdecimal():
            raise InvalidArgument(f"uid {name} has no entry in /etc/passwd: {error}") from error
        raise InvalidArgument(f'error during uid lookup for "{name}": no such user') from error


def _check_group(name: str) -> None:
    try:
        grp.getgrgid(int(name)) if name.isdecimal() else grp.getgrnam(name)
    except KeyError as error:
        if name.isdecimal():
            raise InvalidArgument(f"gid {name} has no entry in /etc/group: {error}") from error
        raise InvalidArgument(f'error during gid lookup for "{name}": no such group') from error


def _mapping(path: Path, user: pwd.struct_passwd) -> Mapping:
    """A container's ids, from 0 on, are the user's ranges one after the other."""
    lines = path.read_text().splitlines()
    ranges = sorted(subordinate(lines, (user.pw_name, str(user.pw_uid))))
    if not ranges:
        raise InvalidArgument(f'no {path.name} ranges found for user "{user.pw_name}"')
    mapped, next_id = [], 0
    for start, count in ranges:
        mapped.append(Range(next_id, start, count))
        next_id += count
    return Mapping(tuple(mapped))


def subordinate(lines: Iterable[str], names: tuple[str, ...] = ()) -> list[tuple[int, int]]:
    """First id and count of each range that `names` have, or anybody has; InvalidArgument for a malformed line."""
    found = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, *numbers = line.strip().split(":")
        if len(numbers) != 2 or not all(each.isdecimal() for each in numbers):
            raise InvalidArgument(f"cannot parse subuid/gid information: format not correct: {line}")
        if not names or name in names:
            found.append((int(numbers[0]), int(numbers[1])))
    return found


def free(taken: Iterable[tuple[int, int]]) -> int:
    """The first id of a new range that meets none of those."""
    start = _FIRST
    for first, count in sorted(taken):
        if first < start + _COUNT and start < first + count:
            start = first + count
    return start


def _default() -> pwd.struct_passwd:
    """The user dockremap, made with his group and ranges as far as there is none."""
    try:
        user = pwd.getpwnam(DEFAULT)
    except KeyError:
        _run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", DEFAULT)
        user = pwd.getpwnam(DEFAULT)
    for path, flag in ((_SUBUID, "--add-subuids"), (_SUBGID, "--add-subgids")):
        lines = path.read_text().splitlines() if path.exists() else []
        if not subordinate(lines, (user.pw_name, str(user.pw_uid))):
            start = free(subordinate(lines))
            path.touch()
            _run("usermod", flag, f"{start}-{start + _COUNT - 1}", DEFAULT)
    return user


def _run(program: str, *arguments: str) -> None:
    found = which(program)
    if not found:
        raise FailedPrecondition(f'{program} for the user "{DEFAULT}": apt-get install passwd, or name another user')
    done = subprocess.run([found, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise FailedPrecondition(f'failed to add user "{DEFAULT}" by {program}: {(done.stdout + done.stderr).strip()}')

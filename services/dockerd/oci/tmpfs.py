"""Options of a tmpfs: `--tmpfs /x:size=1m,exec` and `--mount type=tmpfs`, merged over Docker's defaults."""

from collections.abc import Iterable, Sequence
from typing import Final

from protos import errdefs
from services.dockerd.schema.container import MountTmpfs

_BASE: Final = ("noexec", "nosuid", "nodev", "rprivate")
_PAIRS: Final = {
    name: group
    for group, names in enumerate((
        ("ro", "rw"), ("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("sync", "async"),
        ("dirsync",), ("mand", "nomand"), ("atime", "noatime"), ("diratime", "nodiratime"),
        ("relatime", "norelatime"), ("strictatime", "nostrictatime"), ("bind", "rbind"), ("defaults",),
        ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"),
    ))
    for name in names
}
"""Flag -> the group of which the last one counts."""
_VALUES: Final = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})
_SUFFIXES: Final = ((30, "g"), (20, "m"), (10, "k"))


def merge(options: Iterable[str]) -> list[str]:
    """Docker's defaults and then the user's options, the last of each kind; InvalidArgument for one tmpfs has not."""
    asked = [option for option in options if option]
    for option in asked:
        words = option.split("=", 1)
        if option not in _PAIRS and (words[0] not in _VALUES or len(words) == 1):
            shown = " ".join(f'"{word}"' for word in words)
            raise errdefs.InvalidArgument(f"invalid tmpfs option [{shown}]")
    chosen: dict[object, str] = {}
    for option in (*_BASE, *asked):
        key = _PAIRS.get(option, option.partition("=")[0])
        chosen.pop(key, None)
        chosen[key] = option
    return list(chosen.values())


def from_mount(options: MountTmpfs | None, *, read_only: bool) -> list[str]:
    """The options of a `--mount type=tmpfs`."""
    chosen = ["ro"] if read_only else []
    if options is None:
        return chosen
    if options.Mode:
        chosen.append(f"mode={options.Mode:o}")
    if options.SizeBytes:
        shift, suffix = next(((s, x) for s, x in _SUFFIXES if options.SizeBytes % (1 << s) == 0), (0, ""))
        chosen.append(f"size={options.SizeBytes >> shift}{suffix}")
    return [*chosen, *(_raw(option) for option in options.Options or ())]


def _raw(option: Sequence[str]) -> str:
    if not 1 <= len(option) <= 2:
        raise errdefs.InvalidArgument("invalid option array length")
    if option[0] not in ("exec", "noexec"):
        raise errdefs.InvalidArgument(f"invalid option: {option[0]}")
    return "=".join(option)

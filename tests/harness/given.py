"""Which options daemons were started with in this run, as flags and as keys; after all end-to-end tests that is each.

Only what a daemon has become ready with counts, or for `REFUSED` what it has been refused with.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from services.dockerd.file import GROUPS
from services.dockerd.options import OPTIONS, Option

REFUSED = frozenset(("selinux-enabled",))
"""What nothing starts with, wherever it is told."""
NAMES = {option.flag.name: option for option in OPTIONS}
SHORT = {option.flag.short: option.flag.name for option in OPTIONS if option.flag.short}
FLAGS: set[str] = set()
KEYS: set[str] = set()


def started(command: Sequence[str]) -> None:
    """The command line of a daemon that became ready."""
    _record(command, lambda name: True)


def refused(command: Sequence[str]) -> None:
    """The command line of one that did not start."""
    _record(command, lambda name: name in REFUSED)


def missing() -> list[str]:
    """What there is to tell a daemon, and no daemon was told."""
    wanted = [option for option in OPTIONS if option.field or option.now]
    return [
        *(f"--{option.flag.name}" for option in wanted if option.flag.name not in FLAGS),
        *(f'"{option.key}"' for option in wanted if option.key and option.key not in KEYS),
    ]


def _record(command: Sequence[str], counts: Callable[[str], bool]) -> None:
    words = command[next(place for place, word in enumerate(command) if Path(word).name == "dockerd") + 1 :]
    names = list(_names(words))
    FLAGS.update(name for name in names if counts(name))
    if "config-file" in names:
        KEYS.update(option.key for option in _keyed(_value(words, "--config-file")) if counts(option.flag.name))


def _names(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        if word.startswith("--"):
            yield word[2:].partition("=")[0]
        elif word.startswith("-") and word[1:2] in SHORT:
            yield SHORT[word[1]]


def _value(words: Sequence[str], flag: str) -> Path:
    place = next(place for place, word in enumerate(words) if word.partition("=")[0] == flag)
    return Path(words[place].partition("=")[2] or words[place + 1])


def _keyed(file: Path) -> list[Option]:
    """The options whose keys stand in the file."""
    try:
        document = json.loads(file.read_text() or "{}")
    except (OSError, ValueError):
        return []
    keys = {f"{key}.{inner}" for key in GROUPS & document.keys() for inner in document[key]} | document.keys()
    return [option for option in OPTIONS if option.key in keys]

"""The text of `dockerd --help`, out of the table of options."""

import textwrap

from services.dockerd import flags
from services.dockerd.options import OPTIONS, Option

_COLUMN = 38


def text() -> str:
    """Usage, then one entry an option that this engine has."""
    entries = [_entry(option) for option in sorted(OPTIONS, key=lambda each: each.flag.name) if option.about]
    title = ("", "Usage:  dockerd [OPTIONS]", "", "A self-sufficient runtime for containers.", "", "Options:")
    return "\n".join((*title, *entries))


def _entry(option: Option) -> str:
    flag = option.flag
    short = f"-{flag.short}, " if flag.short else "    "
    kind = "" if flag.boolean else f" {_kind(option)}"
    left = f"  {short}--{flag.name}{kind}".ljust(_COLUMN)
    lines = textwrap.wrap(option.about, 72)
    gap = "" if len(left) <= _COLUMN else "\n" + " " * _COLUMN
    return left + gap + ("\n" + " " * _COLUMN).join(lines)


def _kind(option: Option) -> str:
    if option.flag.pairs:
        return "map"
    if option.flag.many:
        return "list"
    kinds: dict[object, str] = {flags.integer: "int", flags.size: "bytes", flags.address: "ip"}
    return kinds.get(option.flag.read, "string")

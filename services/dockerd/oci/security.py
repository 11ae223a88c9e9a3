"""`--security-opt`: parsed into one record; InvalidArgument with Docker's texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protos import errdefs

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True, slots=True)
class Security:
    no_new_privileges: bool = False
    apparmor: str = ""
    seccomp: str = ""
    """"" is the daemon's profile, "builtin" Docker's, "unconfined" none; else JSON."""
    labels: tuple[str, ...] = ()
    systempaths_unconfined: bool = False


def parse(options: Sequence[str] | None, *, no_new_privileges: bool = False) -> Security:
    """What the options say over the daemon's default."""
    fields: dict[str, str] = {}
    labels: list[str] = []
    for option in options or ():
        if option == "no-new-privileges":
            no_new_privileges = True
            continue
        if option == "disable":
            labels.append("disable")
            continue
        separator = "=" if "=" in option else ":"
        key, found, value = option.partition(separator)
        if not found:
            raise errdefs.InvalidArgument(f'invalid --security-opt 1: "{option}"')
        if key == "no-new-privileges" and value in (*_TRUE, *_FALSE):
            no_new_privileges = value in _TRUE
        elif key == "label":
            labels.append(value)
        elif key in ("apparmor", "seccomp") or option == f"systempaths{separator}unconfined":
            fields[key] = value
        else:
            raise errdefs.InvalidArgument(f'invalid --security-opt 2: "{option}"')
    return Security(
        no_new_privileges=no_new_privileges, apparmor=fields.get("apparmor", ""), seccomp=fields.get("seccomp", ""),
        labels=tuple(labels), systempaths_unconfined="systempaths" in fields,
    )

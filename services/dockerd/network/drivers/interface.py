"""What a container's options say of its interface on one network (`--network name=x,driver-opt=…`): Docker's keys."""

from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from protos.errdefs import Internal, InvalidArgument
from services.dockerd.network.drivers import options

NAME: Final = "com.docker.network.endpoint.ifname"
SYSCTLS: Final = "com.docker.network.endpoint.sysctls"
"""Settings of the interface, apart by commas, each as net.X.Y.IFNAME.Z=V."""
FAMILIES: Final = ("ipv4", "ipv6", "mpls")
DEFAULT: Final = "eth"
PROC: Final = Path("/proc/sys")

Options = Mapping[str, str] | None


def check(asked: Options) -> None:
    """Refuse what cannot be."""
    if text := (asked or {}).get(NAME):
        try:
            options.interface(text)
        except ValueError as error:
            raise InvalidArgument(f"invalid endpoint settings:\ninvalid interface name {text!r}: {error}") from None
    for setting in _settings(asked):
        _split(setting)


def claim(sysctls: Options, asked: Options) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    """Kernel parameters of `eth0` are set once it is there, later than the rest: as options of the first network."""
    mine = {key: value for key, value in (sysctls or {}).items() if _interface_of(key)}
    if other := next((key for key in mine if _interface_of(key) != f"{DEFAULT}0"), ""):
        raise InvalidArgument(
            f"unable to determine network endpoint for sysctl {other}, use driver option '{SYSCTLS}' to set "
            "per-interface sysctls")
    rest = {key: value for key, value in (sysctls or {}).items() if key not in mine} if sysctls is not None else None
    if not mine:
        return rest, dict(asked) if asked is not None else None
    settings = [f"{key.replace(f'.{DEFAULT}0.', '.IFNAME.', 1)}={value}" for key, value in mine.items()]
    before = [each for each in ((asked or {}).get(SYSCTLS, ""),) if each]
    return rest, {**(asked or {}), SYSCTLS: ",".join([*before, *settings])}


def _interface_of(key: str) -> str:
    """The interface that a kernel parameter is about, where it is one of a container's."""
    words = key.split(".", 4)
    return words[3] if len(words) == 5 and words[0] == "net" and words[3].startswith(DEFAULT) else ""


def name(asked: Options, prefix: str, taken: Collection[str]) -> str:
    """The name of a container's next interface."""
    if wanted := (asked or {}).get(NAME):
        if wanted in taken:
            raise InvalidArgument(f"failed to rename interface to {wanted}: the container has one of that name")
        return wanted
    return next(each for number in count() if (each := f"{prefix or DEFAULT}{number}") not in taken)


def configure(interface: str, asked: Options) -> None:
    """In the container's namespace, once the interface has its addresses."""
    for setting in _settings(asked):
        path, value = _split(setting)
        try:
            (PROC / path.format(interface)).write_text(value)
        except OSError as error:
            raise Internal(f"failed to set sysctl {setting} of interface {interface}: {error.strerror}") from error


def _settings(asked: Options) -> Iterator[str]:
    yield from (asked or {})[SYSCTLS].split(",") if (asked or {}).get(SYSCTLS) else ()


def _split(setting: str) -> tuple[str, str]:
    """Path below /proc/sys with a place for the interface, and the value."""
    key, equals, value = setting.partition("=")
    words = key.split(".", 4)
    fits = len(words) == 5 and words[0] == "net" and words[1] in FAMILIES and words[3] in ("IFNAME", "ifname")
    if not fits or not equals or "/" in key or {"{", "}"} & set(key) or ".." in key:
        raise InvalidArgument(
            f"invalid endpoint settings:\nunrecognised network interface sysctl '{setting}'; represent "
            "'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'")
    words[3] = "{}"
    return "/".join([*words[:4], *words[4].split(".")]), value

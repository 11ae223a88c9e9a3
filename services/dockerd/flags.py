"""The grammar of dockerd's command line and of its values, in pflag's spellings and with its refusals (pure).

`--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc` for booleans. What each option means: options.py.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from protos.errdefs import InvalidArgument

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: how its text is read, and whether it may be given again."""

    name: str
    read: Callable[[str], Any]
    short: str = ""
    many: bool = False
    """Given again it adds to a list."""
    pairs: bool = False
    """`read` gives (key, value), gathered in a dict."""

    @property
    def boolean(self) -> bool:
        return self.read is boolean

    @property
    def shown(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def parse(flags: Mapping[str, Flag], argv: list[str]) -> dict[str, Any]:
    """Values by flag name, of those given; InvalidArgument in pflag's words."""
    found: dict[str, Any] = {}
    words = iter(argv)
    for word in words:
        if word == "--":
            _refuse_words(list(words))
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flag = flags.get(name)
            if flag is None:
                raise usage(f"unknown flag: --{name}")
            if not equals:
                value = "true" if flag.boolean else _next(words, f"--{name}")
            _keep(found, flag, value)
        elif word.startswith("-") and word != "-":
            _shorthands(flags, found, word, words)
        else:
            _refuse_words([word])
    return found


def _refuse_words(words: list[str]) -> None:
    if words:
        raise usage('"dockerd" accepts no arguments.')


def _shorthands(flags: Mapping[str, Flag], found: dict[str, Any], word: str, words: Any) -> None:
    rest = word[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        flag = next((each for each in flags.values() if each.short == letter), None)
        if flag is None:
            raise usage(f"unknown shorthand flag: '{letter}' in {word}")
        if rest.startswith("="):
            return _keep(found, flag, rest[1:])
        if flag.boolean:
            _keep(found, flag, "true")
            continue
        return _keep(found, flag, rest or _next(words, f"'{letter}' in {word}"))
    return None


def _next(words: Any, shown: str) -> str:
    try:
        return str(next(words))
    except StopIteration:
        raise usage(f"flag needs an argument: {shown}") from None


def _keep(found: dict[str, Any], flag: Flag, text: str) -> None:
    try:
        value = flag.read(text)
    except ValueError as error:
        raise usage(f'invalid argument "{text}" for "{flag.shown}" flag: {error}') from error
    if flag.pairs:
        if flag.read is runtime and value[0] in found.get(flag.name, ()):
            problem = f"runtime '{value[0]}' was already defined"
            raise usage(f'invalid argument "{text}" for "{flag.shown}" flag: {problem}')
        key, each = value
        kept = found.setdefault(flag.name, {})
        kept[key] = kept.get(key, {}) | each if isinstance(each, dict) else each
    elif flag.many:
        found.setdefault(flag.name, []).append(value)
    else:
        found[flag.name] = value


def usage(problem: str) -> InvalidArgument:
    return InvalidArgument(f"{problem}\nSee 'dockerd --help'.")


CGROUP_DRIVER: Final = "native.cgroupdriver"
STOCK_RUNTIME: Final = "runc"
"""Always there, and under no other program's name."""
RUNC_SHIM: Final = "io.containerd.runc.v2"
"""The type of the shim that drives runc, and whatever has its command line."""


# Readers of values: text in, ValueError in Docker's words.


def boolean(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def integer(text: str) -> int:
    try:
        return int(text, 10)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def size(text: str) -> int:
    """Bytes of `64m`, `1GiB`, `1024`."""
    lower = text.strip().lower()
    unit = lower.lstrip("0123456789.").strip()
    amount = lower[: len(lower) - len(unit)].strip()
    try:
        return int(float(amount) * _UNITS[unit if unit == "b" else unit.removesuffix("b").removesuffix("i")])
    except (ValueError, KeyError):
        raise ValueError(f"invalid size: '{text}'") from None


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"invalid key=value pair: {text}")
    return key, value


def label(text: str) -> str:
    if "=" not in text[1:]:
        raise ValueError(f"bad attribute format: {text}")
    return text


def feature(text: str) -> tuple[str, bool]:
    """`name`, `name=true`, `name=false`."""
    name, equals, value = text.partition("=")
    if not name:
        raise ValueError(f"invalid feature name: {text}")
    return name, boolean(value) if equals else True


def exec_opt(text: str) -> str:
    """`native.cgroupdriver=cgroupfs` or `=systemd`: there is no other on Linux, and as in Docker any other passes."""
    value = text.partition("=")[2] if is_cgroup_driver(text) else ""
    if value not in ("", "cgroupfs", "systemd"):
        raise ValueError(f"native.cgroupdriver option {value} not supported")
    return text


def is_cgroup_driver(text: str) -> bool:
    return text.partition("=")[0].lower() == CGROUP_DRIVER


def registry(text: str) -> str:
    """A registry that may be spoken to insecurely: `host`, `host:port` or a network of addresses."""
    name = text.removeprefix("http://").removeprefix("https://")
    if "://" in name:
        raise ValueError(f"insecure registry {text} should not contain '://'")
    if name.startswith("-") or name.endswith("-"):
        raise ValueError(f"invalid index name ({text}). Cannot begin or end with a hyphen.")
    if "/" in name:
        try:
            return str(ipaddress.ip_network(name, strict=False))
        except ValueError as error:
            raise ValueError(f'insecure registry {text} is not valid: invalid host "{name}"') from error
    host, colon, port = name.rpartition(":") if not name.endswith("]") else (name, "", "")
    if colon and not (port.isdecimal() and int(port) < 1 << 16):
        raise ValueError(f'insecure registry {text} is not valid: invalid port "{port}"')
    if not (host if colon else name):
        raise ValueError(f'insecure registry {text} is not valid: invalid host ""')
    return "docker.io" if name == "index.docker.io" else name


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"{text} is not an ip address") from None


def domain(text: str) -> str:
    """A search domain; `.` is none at all."""
    text = text.strip()
    if text != "." and not (_DOMAIN.fullmatch(text) and any(map(str.isalpha, text)) and len(text) < 255):
        raise ValueError(f"{text} is not a valid domain")
    return text


_DOMAIN: Final = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.|$))+", re.ASCII)


def mirror(text: str) -> str:
    """A registry mirror's URL, ending in a slash."""
    scheme, colon, rest = text.partition("://")
    if not colon or scheme not in ("http", "https"):
        raise ValueError(f'invalid mirror: unsupported scheme "{scheme if colon else ""}" in "{text}"')
    if rest.rstrip("/").count("/") or "?" in rest or "#" in rest:
        raise ValueError(f'invalid mirror: path, query, or fragment at end of the URI "{text}"')
    if "@" in rest:
        raise ValueError("invalid mirror: username/password not allowed in URI")
    return text.rstrip("/") + "/"


def ulimit(text: str) -> tuple[str, tuple[int, int]]:
    """`nofile=1024:2048` as (name, (soft, hard))."""
    name, value = pair(text)
    soft, _, hard = value.partition(":")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    low = integer(soft)
    high = integer(hard) if hard else low
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
    return name, (low, high)


ULIMITS: Final = frozenset((
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
))


def pool(text: str) -> tuple[str, int]:
    """`base=10.0.0.0/8,size=24` as (base, prefix length of each network)."""
    fields: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        fields[key.strip().lower()] = value.strip()
    try:
        base, size = ipaddress.ip_network(fields["base"], strict=False), int(fields["size"])
    except KeyError as error:
        raise ValueError(f"invalid address pool {text}: it has no {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"invalid address pool {text}: {error}") from None
    if not base.prefixlen <= size <= base.max_prefixlen:
        raise ValueError(f"invalid pools size: {size}")
    return str(base), size


def network_opt(text: str) -> tuple[str, dict[str, str]]:
    """`bridge=com.docker.network.driver.mtu=1400` as a pair of driver and its options."""
    driver, _, rest = text.partition("=")
    option, equals, value = rest.partition("=")
    if not driver or not option or not equals:
        raise ValueError("invalid key value pair format in driver options")
    return driver, {option: value}


def fwmark(text: str) -> str:
    """`mark` or `mark/mask`, as iptables-save spells it."""
    mark, slash, mask = text.partition("/")
    try:
        numbers = [int(each, 0) for each in ((mark, mask) if slash else (mark,))]
    except ValueError:
        raise ValueError(f"invalid firewall mark {text!r}: want MARK or MARK/MASK, of 32 bits each") from None
    if not all(0 <= each < 1 << 32 for each in numbers):
        raise ValueError(f"invalid firewall mark {text!r}: out of range")
    return "/".join(hex(each) for each in (numbers[:1] if numbers[1:] == [0xFFFFFFFF] else numbers))


def runtime(text: str) -> tuple[str, dict[str, Any]]:
    """`name=path` as a pair of name and what daemon.json says of one."""
    name, _, path = (part.strip() for part in text.partition("="))
    if not name or not path:
        raise ValueError(f"invalid runtime argument: {text}")
    name = name.lower()
    if name == STOCK_RUNTIME:
        raise ValueError(f"runtime name '{name}' is reserved")
    return name, {"path": path}


def masked(url: str) -> str:
    """A URL without the name and password in it."""
    scheme, colon, rest = url.rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{colon}xxxxx:xxxxx@{place.rpartition('@')[2]}{slash}{path}" if "@" in place else url


def show(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(each) for each in value) + "]"
    return str(value) if isinstance(value, str | int) else json.dumps(value)

"""Values of daemon.json as the flags of the same options would give them (pure); ValueError in words for people."""

from typing import Any, Final

from services.dockerd import flags
from services.dockerd.flags import Flag

_NAMES: Final = {
    bool: "a boolean", int: "a number", float: "a fraction", str: "a string", list: "a list", dict: "an object",
}
_INT64: Final = 1 << 63
_RUNTIME: Final[dict[str, type]] = {"path": str, "runtimeArgs": list, "runtimeType": str, "options": dict}


class Misfit(ValueError):
    """A value of another type than it has to be, at `name` within its option."""

    def __init__(self, problem: str, name: str) -> None:
        super().__init__(f"{name}: {problem}" if name else problem)
        self.name = name


def from_json(flag: Flag, value: Any) -> Any:
    """What `flag` would give for `value`."""
    if flag.pairs:
        return dict(_pair(flag, key, each) for key, each in _typed(value, dict).items())
    if flag.many:
        return [_item(flag, each) for each in _typed(value, list)]
    return _item(flag, value)


def unset(flag: Flag, value: Any) -> bool:
    """Whether it is an empty text, list or object, or 0, where such a thing may stand: then the default holds."""
    return not value and not flag.boolean and type(value) in _kinds(flag)


def _kinds(flag: Flag) -> tuple[type, ...]:
    if flag.pairs:
        return (dict,)
    if flag.many:
        return (list,)
    return (int,) if flag.read is flags.integer else (str, int) if flag.read is flags.size else (str,)


def _pair(flag: Flag, key: str, value: Any) -> tuple[str, Any]:
    if flag.read is flags.ulimit:
        return _ulimit(key, value)
    if flag.read is flags.runtime:
        return _runtime(key, value)
    if flag.read is flags.feature:
        return key, _typed(value, bool, key)
    if flag.read is flags.network_opt:
        return key, {name: _typed(each, str, f"{key}.{name}") for name, each in _typed(value, dict, key).items()}
    return key, _typed(value, str, key)


def _ulimit(name: str, value: Any) -> tuple[str, tuple[int, int]]:
    limits = _spelled(_typed(value, dict, name), "Name", "Soft", "Hard")
    soft, hard = (_typed(limits.get(key, 0), int, f"{name}.{key}") for key in ("Soft", "Hard"))
    return flags.ulimit(f"{name}={soft}:{hard}")


def _runtime(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    if name == flags.STOCK_RUNTIME:
        raise ValueError(f"runtime name '{name}' is reserved")
    value = _spelled(_typed(value, dict, name), *_RUNTIME)
    for key, kind in _RUNTIME.items():
        if key in value:
            _typed(value[key], kind, f"{name}.{key}")
    for argument in value.get("runtimeArgs") or ():
        _typed(argument, str, f"{name}.runtimeArgs")
    return name, value


def _item(flag: Flag, value: Any) -> Any:
    read = flag.read
    if read is flags.boolean or read is flags.integer:
        return _typed(value, bool if read is flags.boolean else int)
    if read is flags.pool and isinstance(value, dict):
        return _pool(_spelled(value, "base", "size"))
    if read is flags.size and type(value) is int:
        return value
    return read(_typed(value, str))


def _pool(fields: dict[str, Any]) -> tuple[str, int]:
    base, size = _typed(fields.get("base", ""), str, "base"), _typed(fields.get("size", 0), int, "size")
    return flags.pool(f"base={base},size={size}")


def _spelled(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """`fields` with these names in these spellings: inside of an option's value Docker takes any case."""
    known = {name.lower(): name for name in names}
    return {known.get(key.lower(), key): value for key, value in fields.items()}


def _typed(value: Any, kind: type, name: str = "") -> Any:
    if type(value) is not kind:
        found = "null" if value is None else _NAMES[type(value)]
        raise Misfit(f"expected {_NAMES[kind]}, got {found}", name)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise Misfit(f"{value} is out of range", name)
    return value

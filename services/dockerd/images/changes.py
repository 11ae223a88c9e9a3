"""`--change` of import and commit: the few Dockerfile instructions that alter a config. Pure."""

import json
import re
import shlex
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.container import stamp

ALLOWED: Final = frozenset(
    {"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


def apply(config: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """A config with the changes applied, in order. InvalidArgument names the instruction that is wrong."""
    result = dict(config)
    for change in changes:
        for line in filter(None, (each.strip() for each in change.splitlines())):
            word, _, rest = line.partition(" ")
            _one(result, word.upper(), rest.strip(), line)
    return result


def _one(config: dict[str, Any], word: str, rest: str, line: str) -> None:
    if word not in ALLOWED:
        raise InvalidArgument(f"{word.lower()} is not a valid change command")
    if not rest:
        raise InvalidArgument(f"{word} requires at least one argument")
    if word in ("CMD", "ENTRYPOINT"):
        config[word.title() if word == "CMD" else "Entrypoint"] = _command(rest)
    elif word == "ENV":
        config["Env"] = _merge_env(config.get("Env") or [], _pairs(rest, line))
    elif word == "LABEL":
        config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(rest, line))}
    elif word == "EXPOSE":
        ports = (port if "/" in port else f"{port}/tcp" for port in rest.split())
        config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in ports}}
    elif word == "VOLUME":
        config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in _words(rest)}}
    elif word == "HEALTHCHECK":
        config["Healthcheck"] = _healthcheck(rest)
    elif word == "ONBUILD":
        config["OnBuild"] = [*(config.get("OnBuild") or []), rest]
    else:
        config[{"STOPSIGNAL": "StopSignal", "USER": "User", "WORKDIR": "WorkingDir"}[word]] = rest


_TIMES: Final = {
    "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"
}


def _healthcheck(rest: str) -> dict[str, Any]:
    """`[--interval=… …] CMD command`, or `NONE`."""
    found: dict[str, Any] = {}
    while option := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        name, value, rest = option[1], option[2], rest[option.end():]
        if name in _TIMES:
            found[_TIMES[name]] = _nanoseconds(value)
        elif name == "retries" and value.isdecimal():
            found["Retries"] = int(value)
        else:
            raise InvalidArgument(f"Unknown flag: {name}" if name != "retries" else f'invalid retries "{value}"')
    kind, _, words = rest.partition(" ")
    if kind.upper() == "NONE":
        if words.strip() or found:
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise InvalidArgument(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    if not words.strip():
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    listed = _json_list(words)
    return {"Test": ["CMD", *listed] if listed else ["CMD-SHELL", words.strip()], **found}


def _nanoseconds(text: str) -> int:
    try:
        return stamp.duration(text)
    except ValueError as error:
        raise InvalidArgument(f'time: invalid duration "{text}"') from error


def _command(rest: str) -> list[str]:
    """The exec form as it stands, the shell form through /bin/sh."""
    return _json_list(rest) or ["/bin/sh", "-c", rest]


def _words(rest: str) -> list[str]:
    return _json_list(rest) or rest.split()


def _json_list(rest: str) -> list[str]:
    try:
        document = json.loads(rest)
    except ValueError:
        return []
    if isinstance(document, list) and all(isinstance(each, str) for each in document):
        return document
    return []


def _pairs(rest: str, line: str) -> list[tuple[str, str]]:
    """`key=value …`, quoted as a shell has it, or the old `key value`."""
    if re.match(r"[^\s=]+\s", rest):
        key, _, value = rest.partition(" ")
        return [(key, value.strip())]
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InvalidArgument(f"cannot read {line!r}: {error}") from error
    if any("=" not in word for word in words):
        raise InvalidArgument(f"Syntax error - can't find = in {line!r}. Must be of the form: name=value")
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]


def _merge_env(env: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    merged = {entry.partition("=")[0]: entry for entry in env}
    merged.update({key: f"{key}={value}" for key, value in pairs})
    return list(merged.values())

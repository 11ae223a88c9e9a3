"""`--change` of import and commit: the few Dockerfile instructions that alter a config. Pure."""

import json
import posixpath
import re
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd.container import stamp
from services.dockerd.images import words

ALLOWED: Final = frozenset(
    {"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


def apply(config: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """A config with the changes applied, in order. InvalidArgument names the instruction that is wrong."""
    result, commanded = dict(config), False
    for change in changes:
        lines = [each.strip() for each in change.replace("\\\n", " ").splitlines()]
        instructions = [each for each in lines if each and not each.startswith("#")]
        if not instructions:
            raise InvalidArgument("file with no instructions")
        for line in instructions:
            word, _, rest = line.partition(" ")
            commanded = commanded or word.upper() == "CMD"
            _one(result, word.upper(), rest.strip(), commanded=commanded)
    return result


def _one(config: dict[str, Any], word: str, rest: str, *, commanded: bool) -> None:
    """`commanded`: a change gave a command, which a new entrypoint then leaves as it is."""
    env = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    if word not in ALLOWED:
        raise InvalidArgument(f"{word.lower()} is not a valid change command")
    if not rest and word not in ("CMD", "ENTRYPOINT"):
        number = "exactly" if word in _SINGLE else "at least"
        raise InvalidArgument(f"{word} requires {number} one argument")
    if word == "CMD":
        config["Cmd"] = _command(config, rest)
    elif word == "ENTRYPOINT":
        config["Entrypoint"] = _command(config, rest) or None
        config["Cmd"] = config.get("Cmd") if commanded else None
    elif word in ("ENV", "LABEL"):
        found = {words.resolve(key, env): words.resolve(value, env) for key, value in words.pairs(rest, word)}
        changed = {"Env": [f"{key}={value}" for key, value in {**env, **found}.items()]}
        config |= changed if word == "ENV" else {"Labels": {**(config.get("Labels") or {}), **found}}
    elif word == "EXPOSE":
        ports = [port for each in words.split(rest) for port in _ports(words.resolve(each, env))]
        config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in ports}}
    elif word == "VOLUME":
        paths = [words.resolve(path, env) for path in _json_list(rest) or words.split(rest)]
        config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}
    elif word == "HEALTHCHECK":
        config["Healthcheck"] = _healthcheck(rest)
    elif word == "ONBUILD":
        config["OnBuild"] = [*(config.get("OnBuild") or []), rest]
    elif word == "WORKDIR":
        config["WorkingDir"] = posixpath.normpath(
            posixpath.join("/", config.get("WorkingDir") or "", words.resolve(rest, env)))
    else:
        config[_SINGLE[word]] = words.resolve(rest, env)


_SINGLE: Final = {"STOPSIGNAL": "StopSignal", "USER": "User", "WORKDIR": "WorkingDir"}


def _ports(text: str) -> list[str]:
    """`80`, `80/udp`, `8000-8002/tcp` as Config has them."""
    port, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidArgument(f"Invalid proto: {protocol}")
    first, dash, last = port.partition("-")
    numbers = [int(each) if each.isdecimal() else 0 for each in (first, last if dash else first)]
    if not 0 < numbers[0] <= numbers[1] <= 65535:
        raise InvalidArgument(f"Invalid containerPort: {port}")
    return [f"{number}/{protocol}" for number in range(numbers[0], numbers[1] + 1)]


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
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE":
        if command.strip() or found:
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise InvalidArgument(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    if not command.strip():
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    listed = _json_list(command)
    return {"Test": ["CMD", *listed] if listed else ["CMD-SHELL", command.strip()], **found}


def _nanoseconds(text: str) -> int:
    try:
        return stamp.duration(text)
    except ValueError as error:
        raise InvalidArgument(f'time: invalid duration "{text}"') from error


def _command(config: dict[str, Any], rest: str) -> list[str]:
    """The exec form as it stands, the shell form through the image's shell."""
    return _json_list(rest) or ([*(config.get("Shell") or ("/bin/sh", "-c")), rest] if rest and rest != "[]" else [])


def _json_list(rest: str) -> list[str]:
    try:
        document = json.loads(rest)
    except ValueError:
        return []
    if isinstance(document, list) and all(isinstance(each, str) for each in document):
        return document
    return []

"""dockerd's command line and daemon.json put together: flags over file over defaults, by Docker's rules for both.

An option given in both places is an error; what is not there yet is refused by options.py, never ignored.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd import file, flags, hosts, rules, values
from services.dockerd.config import Config, Runtime
from services.dockerd.file import Entry
from services.dockerd.options import OPTIONS, Option

DEFAULT_FILE: Final = "/etc/docker/daemon.json"
MIN_API_VERSION: Final = "DOCKER_MIN_API_VERSION"
"""Environment: what --min-api-version says, where that is not given."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line: the configuration, and what was asked beside running."""

    config: Config
    validate: bool = False
    version: bool = False
    help: bool = False
    notes: tuple[str, ...] = ()
    """What the user should know: old names, options that mean nothing here."""


def parse(argv: list[str]) -> Invocation:
    """Read flags and file; InvalidArgument with the one line to print."""
    given = flags.parse({option.flag.name: option.flag for option in OPTIONS}, argv)
    asked = {name: bool(given.pop(name, False)) for name in ("validate", "version", "help")}
    if asked["version"] or asked["help"]:
        return Invocation(Config(), version=asked["version"], help=asked["help"])
    path = given.pop("config-file", None)
    found = _Found(given, DEFAULT_FILE if path is None else path, required=path is not None)
    config = found.config()
    return Invocation(config, validate=asked["validate"], notes=tuple(found.notes))


class _Found:
    """What was given as flags and in the file, on its way to a Config."""

    def __init__(self, given: dict[str, Any], path: str, *, required: bool) -> None:
        self.path = path
        """"" where there is no file."""
        self.notes: list[str] = []
        try:
            content = _content(path, required) if path else None
            self.path = "" if content is None else path
            self.entries = file.read(content or b"")
            self.given = self._current(given, 'cannot specify both "--{}" and "--{}" option', "Flag --{}")
            keyed = 'cannot specify both "{}" and "{}" config file options'
            self.entries = self._current(self.entries, keyed, 'The "{}" key of the configuration file')
            _conflicts(self.given, self.entries)
        except InvalidArgument as error:
            raise self._bad(str(error)) from error

    def config(self) -> Config:
        chosen = self._values()
        for option, value in chosen.items():
            option.refuse(value)
            if option.moot:
                self.notes.append(f"--{option.flag.name} {option.reason}")
        self.notes += [f'The "{key}" key has no effect here' for key in self.entries if key in file.IGNORED]
        made = Config(**{option.field: _frozen(option, value) for option, value in chosen.items() if option.field})
        unknown = [each for each in made.exec_opts if not flags.is_cgroup_driver(each)]
        self.notes += [f"--exec-opt {each} has no effect: there is {flags.CGROUP_DRIVER}" for each in unknown]
        made = replace(made, hosts=_hosts(made, any(option.field == "hosts" for option in chosen)))
        try:
            rules.check(made)
        except InvalidArgument as error:
            merged = "merged configuration validation from file and command line flags failed: "
            raise self._bad(f"{merged if self.path else ''}{error}") from error
        return made

    def _bad(self, problem: str) -> InvalidArgument:
        where = f"unable to configure the Docker daemon with file {self.path}: "
        return InvalidArgument(f"{where if self.path else ''}{problem}")

    def _current(self, found: dict[str, Any], both: str, what: str) -> dict[str, Any]:
        """`found` by flag or key, with old names replaced."""
        current = dict(found)
        for option in OPTIONS:
            old = option.flag.name
            if option.now and old in current:
                if option.now in current:
                    raise InvalidArgument(both.format(old, option.now))
                current[option.now] = current.pop(old)
                now = f"--{option.now}" if "--" in what else f'"{option.now}"'
                self.notes.append(f"{what.format(old)} has been deprecated, Please use {now} instead")
        return current

    def _values(self) -> dict[Option, Any]:
        chosen: dict[Option, Any] = {}
        for option in OPTIONS:
            if option.field == "min_api_version" and MIN_API_VERSION in os.environ:
                chosen[option] = os.environ[MIN_API_VERSION]
            if (entry := self.entries.get(option.key)) and not values.unset(option.flag, entry.value):
                try:
                    chosen[option] = values.from_json(option.flag, entry.value)
                except ValueError as error:
                    line = entry.within.get(getattr(error, "name", ""), entry.line)
                    raise self._bad(f"line {line}: {option.key}: {error}") from error
            if option.flag.name in self.given:
                value = self.given[option.flag.name]
                # Only runtimes may stand in both places: those of the flags are added.
                chosen[option] = chosen.get(option, {}) | value if option.key == "runtimes" else value
        return chosen


def _content(path: str, required: bool) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        if required:
            raise InvalidArgument(f"open {path}: no such file or directory") from None
        return None
    except OSError as error:
        verb = "read" if isinstance(error, IsADirectoryError) else "open"
        raise InvalidArgument(f"{verb} {path}: {(error.strerror or '').lower()}") from error


def _conflicts(given: dict[str, Any], entries: dict[str, Entry]) -> None:
    both = sorted(
        f"{name}: (from flag: {_shown(option, given[option.flag.name])}, from file: {_shown(option, entry.value)})"
        for option, name, entry in _in_both(given, entries)
    )
    if both:
        raise InvalidArgument(
            f"the following directives are specified both as a flag and in the configuration file: {', '.join(both)}"
        )


def _in_both(given: dict[str, Any], entries: dict[str, Entry]) -> Iterable[tuple[Option, str, Entry]]:
    for option in OPTIONS:
        if option.flag.name in given and (entry := entries.get(option.key)) and option.key != "runtimes":
            yield option, option.key.rpartition(".")[2], entry


def _shown(option: Option, value: Any) -> str:
    return flags.masked(str(value)) if option.flag.name.endswith("-proxy") else flags.show(value)


_ZERO_IS_DEFAULT: Final = ("max_concurrent_downloads", "max_concurrent_uploads", "max_download_attempts")


def _frozen(option: Option, value: Any) -> Any:
    if option.key == "runtimes":
        return {flags.STOCK_RUNTIME: Runtime("runc")} | {name: Runtime.from_json(each) for name, each in value.items()}
    if option.field == "data_root":
        return Path(value).resolve()
    if option.field in ("exec_root", "registry_config"):
        return Path(value).absolute()
    if option.field in _ZERO_IS_DEFAULT and value == 0:
        return getattr(Config(), option.field)
    if option.field == "log_level":
        return "warn" if value.lower() == "warning" else value.lower()
    return tuple(value) if isinstance(value, list) else value


def _hosts(config: Config, given: bool) -> tuple[str, ...]:
    """Every address in full; with TLS the default is a port, as in Docker."""
    return tuple(str(hosts.parse(host, secure=config.secure)) for host in (config.hosts if given else ("",)))

"""What dockerd is told: flags over daemon.json over defaults, one frozen Config. Mirrors Docker's rules for both.

An option given in both places is an error; what is not there yet is refused by options.py, never ignored. What holds
between options: rules.py.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd import file, flags, hosts, rules, storage, values
from services.dockerd.file import Entry
from services.dockerd.options import OPTIONS, Option

if TYPE_CHECKING:
    from services.dockerd.network.config import NetworkConfig

VERSION: Final = "28.3.0+py0.1.0"
"""The Docker release whose API this is, as clients gate on it, and our own behind the plus."""

BUILD: Final = "unknown"

DEFAULT_FILE: Final = "/etc/docker/daemon.json"
MIN_API_VERSION: Final = "DOCKER_MIN_API_VERSION"
"""Environment: what --min-api-version says, where that is not given."""
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Runtime:
    """An OCI runtime: the program's path or name, or a containerd shim's type such as io.containerd.kata.v2."""

    path: str = ""
    args: tuple[str, ...] = ()
    type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Runtime":
        """As `runtimes` of daemon.json has it."""
        return cls(
            path=document.get("path", ""),
            args=tuple(document.get("runtimeArgs") or ()),
            type=document.get("runtimeType", ""),
            options=document.get("options") or {},
        )

    @property
    def program(self) -> str:
        """The OCI runtime itself; "" where only its shim knows."""
        if self.type and self.type != rules.RUNC_SHIM:
            return ""
        return str(self.path or self.options.get("BinaryName") or flags.STOCK_RUNTIME)

    def to_json(self) -> dict[str, Any]:
        named = {
            "path": self.path, "runtimeArgs": list(self.args), "runtimeType": self.type, "options": dict(self.options),
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Config:
    """One field per option of options.py, under the option's name with underscores."""

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    data_root: Path = Path("/var/lib/docker")
    exec_root: Path = Path("/var/run/docker")
    authorization_plugins: tuple[str, ...] = ()
    tls: bool | None = None
    tlsverify: bool | None = None
    """None where it was not given: given at all, it means TLS."""
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    """"" is ca.pem, cert.pem or key.pem in ~/.docker."""
    pidfile: str = "/var/run/docker.pid"
    group: str = "docker"
    debug: bool = False
    log_level: str = "info"
    log_format: str = "text"
    raw_logs: bool = False
    """Nothing changes: text has full timestamps and no colours anyway."""
    metrics_addr: str = ""
    """host:port; "" measures nothing."""
    min_api_version: str = ""
    """"" serves all there are."""
    features: Mapping[str, bool] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    live_restore: bool = False
    shutdown_timeout: int = 15
    """Seconds that containers without a StopTimeout of their own get at the daemon's end; -1 is no limit."""
    containerd: str = ""
    """Address of a containerd that runs already; "" starts docker-containerd."""
    containerd_namespace: str = "moby"
    containerd_plugins_namespace: str = "plugins.moby"
    cluster_store: str = ""
    """URL of a key-value store, such as etcd://host:2379."""
    cluster_advertise: str = ""
    """`address:port` or `interface:port`."""
    cluster_store_opts: Mapping[str, str] = field(default_factory=dict)
    storage_driver: str = ""
    """"" chooses overlay2."""
    runtimes: Mapping[str, Runtime] = field(default_factory=lambda: {"runc": Runtime("runc")})
    default_runtime: str = "runc"
    default_shm_size: int = 64 << 20
    default_ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Name to (soft, hard)."""
    default_cgroupns_mode: str = ""
    """"host" or "private"; "" is private with cgroup v2, host with v1."""
    default_ipc_mode: str = "private"
    cgroup_parent: str = ""
    init: bool = False
    init_path: str = ""
    """"" finds docker-init in PATH."""
    seccomp_profile: str = ""
    """A file, `builtin` or `unconfined`; "" is builtin."""
    no_new_privileges: bool = False
    selinux_enabled: bool = False
    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    registry_config: Path = Path("/etc/docker/certs.d")
    """Directory of <host>/hosts.toml."""
    http_proxy: str = ""
    """These three, where given, replace those of the environment."""
    https_proxy: str = ""
    no_proxy: str = ""
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    oom_score_adjust: int = 0
    bridge: str = ""
    bip: str = ""
    fixed_cidr: str = ""
    default_gateway: str = ""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    icc: bool = True
    ip: str = ""
    ip_forward: bool = True
    ip_masq: bool = True
    iptables: bool = True
    mtu: int = 0
    host_gateway_ip: str = ""
    userland_proxy: bool = True
    userland_proxy_path: str = ""

    @property
    def secure(self) -> bool:
        """Whether tcp:// speaks TLS: --tls, or --tlsverify whatever its value."""
        return self.tlsverify is not None or bool(self.tls)

    @property
    def verifies(self) -> bool:
        """Whether clients must show a certificate of our authority: with TLS always, unless --tlsverify=false."""
        return self.secure and self.tlsverify is not False

    @property
    def level(self) -> str:
        """The log level, as --debug may have lowered it."""
        return "debug" if self.debug and self.log_level != "trace" else self.log_level

    @property
    def runtime(self) -> Runtime:
        """The default one."""
        return self.runtimes.get(self.default_runtime) or Runtime(type=self.default_runtime)

    @property
    def containerd_address(self) -> str:
        """Path of the gRPC socket that dockerd calls."""
        return self.containerd.removeprefix("unix://") or str(self.exec_root / "containerd" / "containerd.sock")

    @property
    def containerd_snapshotter(self) -> str:
        """containerd's name of the storage driver."""
        return storage.snapshotter(self.storage_driver)

    @property
    def network(self) -> "NetworkConfig":
        from services.dockerd.network.config import NetworkConfig  # not needed by --validate and --version

        names = {each.name for each in fields(NetworkConfig)} & {each.name for each in fields(Config)}
        return NetworkConfig(**{name: getattr(self, name) for name in names}, default_bind_ip=self.ip)


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
    found = _Found(given, path or DEFAULT_FILE, required=path is not None)
    config = found.config()
    return Invocation(config, validate=asked["validate"], notes=tuple(found.notes))


class _Found:
    """What was given as flags and in the file, on its way to a Config."""

    def __init__(self, given: dict[str, Any], path: str, *, required: bool) -> None:
        self.path = path
        self.notes: list[str] = []
        try:
            self.entries = file.read(_content(path, required))
            self.given = self._current(given, "cannot specify both \"--{}\" and \"--{}\" option", "Flag --{}")
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
        made = replace(made, hosts=_hosts(made, any(option.field == "hosts" for option in chosen)))
        try:
            rules.check(made)
        except InvalidArgument as error:
            what = "merged configuration validation from file and command line flags failed"
            raise self._bad(f"{what}: {error}") from error
        return made

    def _bad(self, problem: str) -> InvalidArgument:
        return InvalidArgument(f"unable to configure the Docker daemon with file {self.path}: {problem}")

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
                    raise self._bad(f"line {entry.line}: {option.key}: {error}") from error
            if option.flag.name in self.given:
                value = self.given[option.flag.name]
                # Only runtimes may stand in both places: those of the flags are added.
                chosen[option] = chosen.get(option, {}) | value if option.key == "runtimes" else value
        return chosen


def _content(path: str, required: bool) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        if required:
            raise InvalidArgument(f"open {path}: no such file or directory") from None
        return b""
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
        return value.lower()
    return tuple(value) if isinstance(value, list) else value


def _hosts(config: Config, given: bool) -> tuple[str, ...]:
    """Every address in full; with TLS the default is a port, as in Docker."""
    return tuple(str(hosts.parse(host, secure=config.secure)) for host in (config.hosts if given else ("",)))

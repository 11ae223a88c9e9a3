"""What dockerd is told, as one frozen Config. How it is read: invocation.py; what holds between options: rules.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protos.idmap import Owners
from services.dockerd import flags
from services.dockerd.oci import cdi

if TYPE_CHECKING:
    from services.dockerd.network.config import NetworkConfig

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
        if self.type and self.type != flags.RUNC_SHIM:
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
    """Docker's name; "" is the driver used before, else the first that works here."""
    storage_opts: tuple[str, ...] = ()
    """Options of that driver, `key=value`."""
    runtimes: Mapping[str, Runtime] = field(default_factory=lambda: {"runc": Runtime("runc")})
    default_runtime: str = "runc"
    default_shm_size: int = 64 << 20
    default_ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Name to (soft, hard)."""
    default_cgroupns_mode: str = ""
    """"host" or "private"; "" is private with cgroup v2, host with v1."""
    default_ipc_mode: str = "private"
    cgroup_parent: str = ""
    cdi_spec_dirs: tuple[str, ...] = cdi.DIRECTORIES
    exec_opts: tuple[str, ...] = ()
    """native.cgroupdriver=cgroupfs or =systemd; what holds without it: cgroups.py."""
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
    ipv6: bool = False
    bip6: str = ""
    fixed_cidr_v6: str = ""
    default_gateway_v6: str = ""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    icc: bool = True
    ip: str = ""
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    ip_masq: bool = True
    iptables: bool = True
    ip6tables: bool = True
    mtu: int = 0
    allow_direct_routing: bool = False
    bridge_accept_fwmark: str = ""
    default_network_opts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Driver to options of the user's own networks."""
    firewall_backend: str = ""
    """"" is iptables, the only one there is."""
    host_gateway_ips: tuple[str, ...] = ()
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    userns_remap: str = ""
    """user, user:group, or `default`; "" is no user namespaces."""
    owners: Owners | None = None
    """What `userns_remap` means on this machine, once userns.py has looked."""

    @property
    def secure(self) -> bool:
        """Whether tcp:// speaks TLS: --tls, or --tlsverify whatever its value."""
        return self.tlsverify is not None or bool(self.tls)

    @property
    def verifies(self) -> bool:
        """Whether clients must show a certificate of our authority: with TLS always, unless --tlsverify=false."""
        return self.secure and self.tlsverify is not False

    @property
    def cdi(self) -> tuple[str, ...]:
        """Directories of device descriptions; none with the feature `cdi` off."""
        return self.cdi_spec_dirs if self.features.get("cdi", True) else ()

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
    def network(self) -> "NetworkConfig":
        from services.dockerd.network.config import NetworkConfig  # not needed by --validate and --version

        names = {each.name for each in fields(NetworkConfig)} & {each.name for each in fields(Config)}
        owner = self.owners.root if self.owners else (0, 0)
        return NetworkConfig(**{name: getattr(self, name) for name in names}, default_bind_ip=self.ip, owner=owner)

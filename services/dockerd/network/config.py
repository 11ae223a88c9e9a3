"""What dockerd's flags and daemon.json say about networks; `services/dockerd/config.py` fills it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Settings of the default bridge and of port publishing. Empty strings mean "not given"."""

    data_root: Path
    exec_root: Path
    bridge: str = ""
    """`--bridge`: a bridge that exists already, or `none` for no default network; "" makes docker0."""
    bip: str = ""
    """`--bip`: address and prefix of docker0, as 192.168.1.1/24."""
    fixed_cidr: str = ""
    default_gateway: str = ""
    mtu: int = 0
    """0 lets the bridge have 1500."""
    icc: bool = True
    ip_forward: bool = True
    iptables: bool = True
    ip_masq: bool = True
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    """A docker-proxy with the original's command line, one process per binding; "" is our own, one per container."""
    default_bind_ip: str = ""
    """`--ip`: host address of ports published without one; "" is every address, IPv4 and IPv6."""
    host_gateway_ip: str = ""
    """What `host-gateway` in `--add-host` stands for; "" is the default bridge's address."""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    """Pools of user-defined networks: (base, prefix length of each network); () is Docker's own list."""
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()

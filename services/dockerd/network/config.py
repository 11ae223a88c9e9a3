"""What dockerd's flags and daemon.json say about networks; `services/dockerd/config.py` fills it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    ipv6: bool = False
    """The default bridge has IPv6 too; these three say how."""
    bip6: str = ""
    fixed_cidr_v6: str = ""
    default_gateway_v6: str = ""
    mtu: int = 0
    """0 lets the bridge have 1500."""
    icc: bool = True
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    """Leave the policy of FORWARD alone when forwarding is switched on."""
    iptables: bool = True
    ip6tables: bool = True
    ip_masq: bool = True
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    """A docker-proxy with the original's command line, one process per binding; "" is our own, one per container."""
    owner: tuple[int, int] = (0, 0)
    """Uid and gid that have the containers' hostname, hosts and resolv.conf."""
    default_bind_ip: str = ""
    """`--ip`: host address of ports published without one; "" is every address, IPv4 and IPv6."""
    host_gateway_ips: tuple[str, ...] = ()
    """What `host-gateway` in `--add-host` stands for; () is the default bridge's own addresses."""
    allow_direct_routing: bool = False
    """Who routes to a container's own address reaches its published ports."""
    bridge_accept_fwmark: str = ""
    """`mark/mask` of packets that pass to containers, published or not."""
    default_network_opts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Driver to options that its new networks have unless told otherwise."""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    """Pools of user-defined networks: (base, prefix length of each network); () is Docker's own list."""
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()

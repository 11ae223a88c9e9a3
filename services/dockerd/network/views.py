"""Networks as the Engine API shows them: NetworkSettings of a container, its ports, a network's own document. Pure."""

from collections.abc import Collection, Iterable
from typing import Any

from protos.binding import Binding
from services.dockerd.container import stamp
from services.dockerd.network.addressing import Addressing
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.networks import Network, Networks
from services.dockerd.network.ports import parse_exposed
from services.dockerd.network.request import Target
from services.dockerd.network.sandbox import Sandbox
from services.dockerd.schema.container import EndpointSettings

Document = dict[str, Any]
_ADDRESSES: Document = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}


def settings(sandbox: Sandbox, networks: Networks, exposed: Collection[str]) -> Document:
    """NetworkSettings of a container that has a sandbox."""
    by_id = {network.id: network for network in networks}
    shown = {by_id[each.network_id].name: each for each in sandbox.endpoints if each.network_id in by_id}
    old = shown.get("bridge")
    document = _settings(
        {name: endpoint_document(endpoint) for name, endpoint in shown.items()},
        _addresses(old) if old else _ADDRESSES,
        port_map((binding for each in sandbox.endpoints for binding in each.bindings), exposed),
    )
    return document | {"SandboxID": sandbox.id, "SandboxKey": sandbox.key}


def idle_settings(found: Iterable[Target]) -> Document:
    """NetworkSettings of a container that does not run."""
    networks = {network.name: _endpoint(asked, _ADDRESSES, network.id) for network, asked in found}
    return _settings(networks, _ADDRESSES, {})


def _settings(networks: Document, addresses: Document, ports: Document) -> Document:
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": ports,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **addresses,
        "Networks": networks,
    }


def endpoint_document(endpoint: Endpoint) -> Document:
    """An entry of NetworkSettings.Networks."""
    return _endpoint(endpoint.asked, _addresses(endpoint), endpoint.network_id) | {"DNSNames": endpoint.names or None}


def _endpoint(asked: EndpointSettings, addresses: Document, network_id: str) -> Document:
    return {
        "IPAMConfig": asked.IPAMConfig.model_dump(exclude_none=True) if asked.IPAMConfig else None,
        "Links": asked.Links,
        "Aliases": asked.Aliases,
        "DriverOpts": asked.DriverOpts,
        "GwPriority": asked.GwPriority,
        "NetworkID": network_id,
        **addresses,
        "DNSNames": None,
    }


def _addresses(endpoint: Endpoint) -> Document:
    return _ADDRESSES | {
        "EndpointID": endpoint.id,
        "Gateway": str(endpoint.gateway or ""),
        "IPAddress": str(endpoint.address or ""),
        "IPPrefixLen": endpoint.prefix,
        "GlobalIPv6Address": str(endpoint.address6 or ""),
        "GlobalIPv6PrefixLen": endpoint.prefix6,
        "IPv6Gateway": str(endpoint.gateway6 or ""),
        "MacAddress": endpoint.mac,
    }


def port_map(bindings: Iterable[Binding], exposed: Collection[str]) -> Document:
    """`Ports` of inspect: null for what is exposed and not published."""
    found: dict[str, list[dict[str, str]] | None] = {}
    for binding in bindings:
        rows = found.setdefault(f"{binding.container_port}/{binding.protocol}", [])
        assert rows is not None
        rows.append({"HostIp": binding.host_ip, "HostPort": str(binding.host_port or "")})
    for text in exposed:
        number, protocol = parse_exposed(text)
        found.setdefault(f"{number}/{protocol}", None)
    return dict(sorted(found.items(), key=lambda item: parse_exposed(item[0])))


def port_list(bindings: Iterable[Binding], exposed: Collection[str]) -> list[Document]:
    """`Ports` of a container in a list."""
    rows: list[Document] = []
    published = set()
    for binding in bindings:
        if not binding.host_port:
            continue  # reached by the container's own address alone
        published.add((binding.container_port, binding.protocol))
        rows.append(
            {
                "IP": binding.host_ip,
                "PrivatePort": binding.container_port,
                "PublicPort": binding.host_port,
                "Type": binding.protocol,
            }
        )
    for text in exposed:
        number, protocol = parse_exposed(text)
        if (number, protocol) not in published:
            rows.append({"PrivatePort": number, "Type": protocol})
    return sorted(rows, key=lambda row: (row["PrivatePort"], row["Type"]))


def network_document(network: Network, sandboxes: Iterable[Sandbox], *, containers: bool) -> Document:
    """What GET /networks shows of a network; inspect adds the containers on it."""
    joined = [(each, end) for each in sandboxes for end in each.endpoints if end.network_id == network.id]
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": stamp.rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.v4 is not None or network.driver != "bridge",
        "EnableIPv6": network.v6 is not None,
        "IPAM": {"Driver": network.ipam_driver, "Options": network.ipam_options, "Config": _ipam(network)},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {each.container_id: _joined(each, end) for each, end in joined} if containers else {},
        "Options": network.options,
        "Labels": network.labels,
    }


def _ipam(network: Network) -> list[Document] | None:
    return [_config(each) for each in network.addressings] or None


def _config(addressing: Addressing) -> Document:
    config: Document = {"Subnet": str(addressing.subnet)}
    if addressing.ip_range:
        config["IPRange"] = str(addressing.ip_range)
    if addressing.gateway:
        config["Gateway"] = str(addressing.gateway)
    if addressing.auxiliary:
        config["AuxiliaryAddresses"] = addressing.auxiliary
    return config


def _joined(sandbox: Sandbox, endpoint: Endpoint) -> Document:
    return {
        "Name": sandbox.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
        "IPv6Address": f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else "",
    }

"""Bodies of the network endpoints."""

from services.dockerd.schema.container import EndpointSettings
from services.dockerd.schema.wire import Wire


class IPAMConfig(Wire):
    Subnet: str | None = None
    IPRange: str | None = None
    Gateway: str | None = None
    AuxiliaryAddresses: dict[str, str] | None = None


class IPAM(Wire):
    Driver: str | None = None
    Options: dict[str, str] | None = None
    Config: list[IPAMConfig] | None = None


_IPAM = IPAM


class ConfigReference(Wire):
    Network: str = ""


class NetworkCreate(Wire):
    Name: str = ""
    Driver: str | None = None
    Scope: str | None = None
    Internal: bool = False
    Attachable: bool = False
    Ingress: bool = False
    ConfigOnly: bool = False
    ConfigFrom: ConfigReference | None = None
    IPAM: _IPAM | None = None
    EnableIPv4: bool | None = None
    EnableIPv6: bool | None = None
    Options: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


class NetworkConnect(Wire):
    Container: str = ""
    EndpointConfig: EndpointSettings | None = None


class NetworkDisconnect(Wire):
    Container: str = ""
    Force: bool = False

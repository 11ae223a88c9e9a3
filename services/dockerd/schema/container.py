"""A container's configuration in the Engine API's own spelling: what create takes, inspect shows and the store keeps.

Defaults are the zero values Docker shows in `inspect`, so that an inspected HostConfig is accepted by create unchanged.
Sizes are bytes, times nanoseconds unless a name says otherwise. Validation beyond types: engine/create.py.
"""

from typing import Any

from pydantic import Field

from services.dockerd.schema.wire import Wire


class HealthConfig(Wire):
    Test: list[str] | None = None
    Interval: int = 0
    Timeout: int = 0
    StartPeriod: int = 0
    StartInterval: int = 0
    Retries: int = 0


class ContainerConfig(Wire):
    """`Config` of inspect, and the config of an image."""

    Hostname: str = ""
    Domainname: str = ""
    User: str = ""
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    ExposedPorts: dict[str, dict[str, Any]] | None = None
    Tty: bool = False
    OpenStdin: bool = False
    StdinOnce: bool = False
    Env: list[str] | None = None
    Cmd: list[str] | str | None = None
    Healthcheck: HealthConfig | None = None
    ArgsEscaped: bool | None = None
    Image: str = ""
    Volumes: dict[str, dict[str, Any]] | None = None
    WorkingDir: str = ""
    Entrypoint: list[str] | str | None = None
    NetworkDisabled: bool | None = None
    MacAddress: str | None = None
    OnBuild: list[str] | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None
    StopTimeout: int | None = None
    Shell: list[str] | None = None


class LogSettings(Wire):
    Type: str = ""
    Config: dict[str, str] | None = None


class RestartRule(Wire):
    Name: str = ""
    MaximumRetryCount: int = 0


class PortBinding(Wire):
    HostIp: str = ""
    HostPort: str = ""


class WeightDevice(Wire):
    Path: str = ""
    Weight: int = 0


class ThrottleDevice(Wire):
    Path: str = ""
    Rate: int = 0


class DeviceMapping(Wire):
    PathOnHost: str = ""
    PathInContainer: str = ""
    CgroupPermissions: str = ""


class DeviceRequest(Wire):
    Driver: str = ""
    Count: int = 0
    DeviceIDs: list[str] | None = None
    Capabilities: list[list[str]] | None = None
    Options: dict[str, str] | None = None


class Ulimit(Wire):
    Name: str = ""
    Hard: int = 0
    Soft: int = 0


class MountBind(Wire):
    Propagation: str | None = None
    NonRecursive: bool | None = None
    CreateMountpoint: bool | None = None
    ReadOnlyNonRecursive: bool | None = None
    ReadOnlyForceRecursive: bool | None = None


class MountDriver(Wire):
    Name: str = ""
    Options: dict[str, str] | None = None


class MountVolume(Wire):
    NoCopy: bool | None = None
    Labels: dict[str, str] | None = None
    Subpath: str | None = None
    DriverConfig: MountDriver | None = None


class MountTmpfs(Wire):
    SizeBytes: int | None = None
    Mode: int | None = None
    Options: list[list[str]] | None = None


class MountImage(Wire):
    Subpath: str | None = None


class Mount(Wire):
    """One `--mount`."""

    Type: str = ""
    Source: str | None = None
    Target: str = ""
    ReadOnly: bool | None = None
    Consistency: str | None = None
    BindOptions: MountBind | None = None
    VolumeOptions: MountVolume | None = None
    TmpfsOptions: MountTmpfs | None = None
    ImageOptions: MountImage | None = None


class Resources(Wire):
    """The part of HostConfig that `docker update` may change too."""

    CpuShares: int = 0
    Memory: int = 0
    NanoCpus: int = 0
    CgroupParent: str = ""
    BlkioWeight: int = 0
    BlkioWeightDevice: list[WeightDevice] | None = Field(default_factory=list)
    BlkioDeviceReadBps: list[ThrottleDevice] | None = Field(default_factory=list)
    BlkioDeviceWriteBps: list[ThrottleDevice] | None = Field(default_factory=list)
    BlkioDeviceReadIOps: list[ThrottleDevice] | None = Field(default_factory=list)
    BlkioDeviceWriteIOps: list[ThrottleDevice] | None = Field(default_factory=list)
    CpuPeriod: int = 0
    CpuQuota: int = 0
    CpuRealtimePeriod: int = 0
    CpuRealtimeRuntime: int = 0
    CpusetCpus: str = ""
    CpusetMems: str = ""
    Devices: list[DeviceMapping] | None = Field(default_factory=list)
    DeviceCgroupRules: list[str] | None = None
    DeviceRequests: list[DeviceRequest] | None = None
    MemoryReservation: int = 0
    MemorySwap: int = 0
    MemorySwappiness: int | None = None
    OomKillDisable: bool | None = None
    PidsLimit: int | None = None
    Ulimits: list[Ulimit] | None = Field(default_factory=list)
    CpuCount: int = 0
    CpuPercent: int = 0
    IOMaximumIOps: int = 0
    IOMaximumBandwidth: int = 0


class HostConfig(Resources):
    Binds: list[str] | None = None
    ContainerIDFile: str = ""
    LogConfig: LogSettings = Field(default_factory=LogSettings)
    NetworkMode: str = ""
    PortBindings: dict[str, list[PortBinding] | None] | None = Field(default_factory=dict)
    RestartPolicy: RestartRule = Field(default_factory=RestartRule)
    AutoRemove: bool = False
    VolumeDriver: str = ""
    VolumesFrom: list[str] | None = None
    ConsoleSize: list[int] = Field(default_factory=lambda: [0, 0])
    Annotations: dict[str, str] | None = None
    CapAdd: list[str] | None = None
    CapDrop: list[str] | None = None
    CgroupnsMode: str = ""
    Dns: list[str] | None = Field(default_factory=list)
    DnsOptions: list[str] | None = Field(default_factory=list)
    DnsSearch: list[str] | None = Field(default_factory=list)
    ExtraHosts: list[str] | None = None
    GroupAdd: list[str] | None = None
    IpcMode: str = ""
    Cgroup: str = ""
    Links: list[str] | None = None
    OomScoreAdj: int = 0
    PidMode: str = ""
    Privileged: bool = False
    PublishAllPorts: bool = False
    ReadonlyRootfs: bool = False
    SecurityOpt: list[str] | None = None
    StorageOpt: dict[str, str] | None = None
    Tmpfs: dict[str, str] | None = None
    UTSMode: str = ""
    UsernsMode: str = ""
    ShmSize: int = 0
    Sysctls: dict[str, str] | None = None
    Runtime: str = ""
    Isolation: str = ""
    Mounts: list[Mount] | None = None
    MaskedPaths: list[str] | None = None
    ReadonlyPaths: list[str] | None = None
    Init: bool | None = None


class EndpointIPAMConfig(Wire):
    IPv4Address: str | None = None
    IPv6Address: str | None = None
    LinkLocalIPs: list[str] | None = None


class EndpointSettings(Wire):
    """One network a container is on: the asked part at create, the whole in inspect."""

    IPAMConfig: EndpointIPAMConfig | None = None
    Links: list[str] | None = None
    Aliases: list[str] | None = None
    MacAddress: str = ""
    DriverOpts: dict[str, str] | None = None
    GwPriority: int = 0
    NetworkID: str = ""
    EndpointID: str = ""
    Gateway: str = ""
    IPAddress: str = ""
    IPPrefixLen: int = 0
    IPv6Gateway: str = ""
    GlobalIPv6Address: str = ""
    GlobalIPv6PrefixLen: int = 0
    DNSNames: list[str] | None = None


class NetworkingConfig(Wire):
    EndpointsConfig: dict[str, EndpointSettings | None] | None = None


_HostConfig = HostConfig
_NetworkingConfig = NetworkingConfig


class CreateRequest(ContainerConfig):
    """The body of POST /containers/create: a ContainerConfig with two more keys."""

    HostConfig: _HostConfig | None = None
    NetworkingConfig: _NetworkingConfig | None = None

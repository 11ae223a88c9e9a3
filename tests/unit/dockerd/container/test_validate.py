import pytest

from protos import errdefs
from services.dockerd.container import validate
from services.dockerd.schema.container import ContainerConfig, HealthConfig, HostConfig, RestartRule


def test_a_name_loses_its_slash() -> None:
    assert validate.name("/web.1_a-b") == "web.1_a-b"


@pytest.mark.parametrize("text", ["", "/", "x", "-x", "a b", "a/b", "ä1"])
def test_bad_names_are_refused(text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="Invalid container name"):
        validate.name(text)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"WorkingDir": "srv"}, "needs to be an absolute path"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"StopSignal": "SIGNOT"}, "Invalid signal: SIGNOT"),
        ({"ExposedPorts": {"http": {}}}, 'invalid port specification: "http"'),
        ({"ExposedPorts": {"90-80/tcp": {}}}, "invalid port specification"),
        ({"ExposedPorts": {"80/icmp": {}}}, "invalid port specification"),
        ({"Healthcheck": {"Interval": 5}}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Healthcheck": {"Retries": -1}}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_bad_configurations(config: dict[str, object], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        validate.config(ContainerConfig.model_validate(config))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({"RestartPolicy": {"Name": "sometimes"}}, "unknown policy 'sometimes'"),
        ({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}, "can only be used with 'on-failure'"),
        ({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -2}}, "cannot be negative"),
        ({"AutoRemove": True, "RestartPolicy": {"Name": "always"}}, "can't create 'AutoRemove' container"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"OomScoreAdj": 2000}, r"range for oom score adj is \[-1000, 1000\]"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "many"}]}}, 'invalid port specification: "many"'),
        ({"ExtraHosts": ["alone"]}, 'bad format for add-host: "alone"'),
        ({"Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 3}]}, "ulimit soft limit must be less than"),
        ({"Isolation": "hyperv"}, "linux only supports 'default'"),
    ],
)
def test_bad_host_configurations(host: dict[str, object], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        validate.host(HostConfig.model_validate(host))


@pytest.mark.parametrize(
    ("config", "host", "text"),
    [
        ({"Hostname": "h"}, {"UTSMode": "host"}, "hostname and the UTS mode"),
        ({"Hostname": "h"}, {"NetworkMode": "container:x"}, "hostname and the network mode"),
        ({}, {"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}, "dns and the network mode"),
        ({}, {"NetworkMode": "container:x", "PublishAllPorts": True}, "port publishing"),
        ({"ExposedPorts": {"80/tcp": {}}}, {"NetworkMode": "container:x"}, "port exposing"),
    ],
)
def test_options_that_exclude_one_another(config: dict[str, object], host: dict[str, object], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="conflicting options: .*" + text):
        validate.network(ContainerConfig.model_validate(config), HostConfig.model_validate(host))


def test_docker_own_defaults_pass() -> None:
    validate.config(ContainerConfig(Healthcheck=HealthConfig()))
    validate.host(HostConfig(RestartPolicy=RestartRule(Name="no")))
    validate.network(ContainerConfig(Hostname="h"), HostConfig(NetworkMode="bridge"))

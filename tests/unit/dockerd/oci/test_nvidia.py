from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd import programs
from services.dockerd.oci import nvidia, verify
from services.dockerd.schema.container import ContainerConfig, DeviceRequest, HostConfig


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / nvidia.HOOK
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    return str(path)


def variables(request: DeviceRequest) -> list[str]:
    document = nvidia.inject({"process": {"env": []}}, HostConfig(DeviceRequests=[request]))
    return list(document["process"]["env"])


@pytest.mark.parametrize(
    ("request_", "devices"),
    [
        (DeviceRequest(Count=-1, Capabilities=[["gpu"]]), "all"),
        (DeviceRequest(Count=2, Capabilities=[["gpu"]]), "0,1"),
        (DeviceRequest(Driver="nvidia"), "void"),
        (DeviceRequest(DeviceIDs=["a", "b"], Capabilities=[["tpu"], ["gpu"]]), "a,b"),
    ],
)
def test_devices_are_named_in_the_environment(hook: str, request_: DeviceRequest, devices: str) -> None:
    assert variables(request_) == [f"NVIDIA_VISIBLE_DEVICES={devices}"]


def test_kinds_and_hook_are_given(hook: str) -> None:
    host = HostConfig(DeviceRequests=[DeviceRequest(Count=1, Capabilities=[["gpu", "utility", "compute"]])])
    made = nvidia.inject({"process": {"env": ["A=1"]}, "hooks": {"poststop": []}}, host)
    assert made["process"]["env"][-1] == "NVIDIA_DRIVER_CAPABILITIES=utility,compute"
    (added,) = made["hooks"]["prestart"]
    assert (added["path"], added["args"]) == (hook, [nvidia.HOOK, "prestart"]) and "poststop" in made["hooks"]


def test_count_and_ids_exclude_each_other(hook: str) -> None:
    host = HostConfig(DeviceRequests=[DeviceRequest(Driver="nvidia", Count=1, DeviceIDs=["a"])])
    with pytest.raises(errdefs.InvalidArgument, match="cannot set both Count and DeviceIDs"):
        verify.verify(ContainerConfig(), host)


def test_without_the_hook_there_is_no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    host = HostConfig(DeviceRequests=[DeviceRequest(Count=-1, Capabilities=[["gpu"]])])
    text = r'could not select device driver "" with capabilities: \[\[gpu\]\]'
    with pytest.raises(errdefs.InvalidArgument, match=text):
        verify.verify(ContainerConfig(), host)

"""`GraphDriver.Data`, under the keys of each of Docker's drivers."""

from protos import snapshots
from protos.containerd.types.mount_pb2 import Mount
from services.dockerd import graph

OVERLAY = Mount(
    type="overlay", source="overlay", options=["index=off", "workdir=/d/3/work", "upperdir=/d/3/fs", "lowerdir=/d/2/fs"]
)
DEVICE = {snapshots.DEVICE_ID: "7", snapshots.DEVICE_NAME: "docker-8:1-2-3", snapshots.DEVICE_SIZE: "1024"}


def test_container_on_overlays() -> None:
    shown = {"LowerDir": "/d/2/fs", "MergedDir": "/d/3/merged", "UpperDir": "/d/3/fs", "WorkDir": "/d/3/work"}
    assert graph.of_container("id", "overlayfs", [OVERLAY]) == {"ID": "id", **shown}
    assert graph.of_container("id", "overlay", [OVERLAY]) == shown


def test_others_say_nothing() -> None:
    assert graph.of_container("id", "native", [Mount(type="bind", source="/d/3", options=["rw", "rbind"])]) is None
    assert graph.of_layers([{}]) is None
    assert graph.of_layers([]) is None


def test_device_is_named() -> None:
    wanted = {"DeviceId": "7", "DeviceName": "docker-8:1-2-3", "DeviceSize": "1024"}
    assert graph.of_device(DEVICE) == wanted
    assert graph.of_device({}) is None
    assert graph.of_layers([{}, DEVICE]) == wanted


def test_image_of_several_layers() -> None:
    layers = [{graph.UPPER: f"/d/{number}/fs"} for number in (1, 2, 3)]
    assert graph.of_layers(layers) == {
        "LowerDir": "/d/2/fs:/d/1/fs", "MergedDir": "/d/3/merged", "UpperDir": "/d/3/fs", "WorkDir": "/d/3/work"
    }
    assert graph.of_layers([{}, *layers]) is None, "one of them is not unpacked"
    assert graph.of_layers([*layers, {graph.UPPER: "/d/4/upper", snapshots.ROOT: "/d/4/root"}]) == {
        "RootDir": "/d/4/root"
    }

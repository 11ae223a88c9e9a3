import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.cluster import settings


def refusal(store: str = "", advertise: str = "", options: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidArgument) as refused:
        settings.check(store, advertise, options or {})
    return str(refused.value)


def test_stores_are_taken_apart() -> None:
    assert settings.parse("etcd://a:1,b:2/docker/x") == settings.Store("etcd", ("a:1", "b:2"), "docker/x")
    assert settings.parse("consul://c:8500").scheme == "consul"
    assert settings.parse("zk://z:2181").hosts == ("z:2181",)


def test_whole_settings_are_accepted() -> None:
    settings.check("etcd://h:2379", "eth0:2376", {"discovery.heartbeat": "20", "discovery.ttl": "60", "kv.path": "x"})
    settings.check("", "", {})


@pytest.mark.parametrize(
    ("store", "advertise", "options", "text"),
    [
        ("etcd:/x", "", {}, "kv store daemon config must be of the form KV-PROVIDER://KV-URL"),
        ("memory://x", "", {}, "discovery initialization failed (discovery service not supported)"),
        ("", "eth0:1", {}, "--cluster-advertise must be accompanied by --cluster-store configuration"),
        ("etcd://h:1", "eth0", {}, "invalid --cluster-advertise configuration: eth0"),
        ("etcd://h:1", "", {"discovery.ttl": "x"}, 'parsing "x": invalid syntax'),
        ("etcd://h:1", "", {"discovery.heartbeat": "0"}, "discovery.heartbeat must be positive"),
        ("etcd://h:1", "", {"discovery.heartbeat": "9", "discovery.ttl": "9"}, "ttl timer must be greater than"),
        (
            "etcd://h:1", "", {f"kv.{name}": f"/no/{name}" for name in ("cacertfile", "certfile", "keyfile")},
            "open /no/cacertfile: no such file or directory",
        ),
    ],
)
def test_dockers_refusals(store: str, advertise: str, options: dict[str, str], text: str) -> None:
    assert text in refusal(store, advertise, options)


def test_an_interface_stands_for_its_address() -> None:
    assert settings.advertised("lo:2376") == "127.0.0.1:2376"
    assert settings.advertised("10.0.0.1:2376") == "10.0.0.1:2376"
    with pytest.raises(InvalidArgument, match=r"invalid cluster advertise IP address or interface name \(nosuch0:1\)"):
        settings.advertised("nosuch0:1")

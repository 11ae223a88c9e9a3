import pytest

from services.dockerd.container.order import before, needs
from services.dockerd.schema.container import HostConfig


def test_links_volumes_and_namespaces_are_needed() -> None:
    host = HostConfig(Links=["/db:/web/db", "cache"], VolumesFrom=["data:ro"], NetworkMode="container:net",
                      IpcMode="container:ipc", PidMode="host")
    assert needs(host) == ["db", "cache", "data", "net", "ipc"]


def plan(**links: str) -> dict[str, set[str]]:
    """Containers by name, each with the names it links to, one character each."""
    return before({name: HostConfig(Links=[f"/{each}:x" for each in text]) for name, text in links.items()},
                  lambda name: name)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"a": "", "b": ""}, {"a": set(), "b": set()}),
        ({"a": "b", "b": "c", "c": ""}, {"a": {"b"}, "b": {"c"}, "c": set()}),
        ({"a": "z"}, {"a": set()}),
        ({"a": "a"}, {"a": set()}),
        ({"a": "b", "b": "a"}, {"a": set(), "b": set()}),
        ({"a": "b", "b": "c", "c": "b"}, {"a": {"b"}, "b": set(), "c": set()}),
    ],
    ids=["apart", "chain", "not started", "itself", "circle", "leads into a circle"],
)
def test_who_waits_for_whom(given: dict[str, str], wanted: dict[str, set[str]]) -> None:
    assert plan(**given) == wanted


def test_name_is_looked_up() -> None:
    hosts = {"id1": HostConfig(VolumesFrom=["data"]), "id2": HostConfig()}
    assert before(hosts, {"data": "id2"}.get) == {"id1": {"id2"}, "id2": set()}

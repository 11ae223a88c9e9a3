"""`--metrics-addr`: Prometheus' text under Docker's names, and ours for each hop."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

PORT = 9323
Fresh = Callable[..., Engine]


@pytest.fixture(scope="module")
def measured() -> Iterator[Engine]:
    with Engine(f"--metrics-addr=127.0.0.1:{PORT}") as engine:
        yield engine


def fetch(engine: Engine, path: str = "/metrics") -> bytes:
    with engine.network.connect("127.0.0.1", PORT) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def values(engine: Engine) -> dict[str, float]:
    """By name with labels."""
    head, _, body = fetch(engine).decode().partition("\r\n\r\n")
    assert " 200 OK" in head and "text/plain; version=0.0.4" in head
    lines = [line.rpartition(" ") for line in body.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_the_machine_is_described(measured: Engine) -> None:
    found = values(measured)
    info = measured.api.get("/info")
    assert found["engine_daemon_engine_cpus_cpus"] == info["NCPU"]
    assert found["engine_daemon_engine_memory_bytes"] == info["MemTotal"]
    described = next(name for name in found if name.startswith("engine_daemon_engine_info{"))
    for text in (f'daemon_id="{info["ID"]}"', f'kernel="{info["KernelVersion"]}"', 'os_type="linux"', "graphdriver="):
        assert text in described


def test_actions_are_timed_and_states_counted(measured: Engine) -> None:
    docker = measured.docker
    before = values(measured)
    docker.ok("run", "-d", "--init", "--name", "runs", "busybox", "sleep", "600")
    docker.ok("create", "--name", "made", "busybox")
    docker.ok("diff", "runs")
    docker.ok("rm", "made")
    after = values(measured)
    for action, times in (("create", 2), ("start", 1), ("changes", 1), ("delete", 1), ("commit", 0)):
        name = f'engine_daemon_container_actions_seconds_count{{action="{action}"}}'
        assert after[name] - before[name] == times, action
    assert after["engine_daemon_events_total"] > before["engine_daemon_events_total"]
    states = re.compile(r'engine_daemon_container_states_containers\{state="(\w+)"\}')
    assert {found[1]: value for name, value in after.items() if (found := states.fullmatch(name))} == {
        "running": 1, "paused": 0, "stopped": 0,
    }
    assert after['engine_daemon_network_actions_seconds_count{action="allocate"}'] >= 1
    assert after['engine_daemon_host_info_functions_seconds_count{function="system_info"}'] >= 1
    docker.ok("rm", "-f", "runs")


def test_health_checks_are_counted(measured: Engine) -> None:
    docker = measured.docker
    docker.ok("run", "-d", "--init", "--name", "ill", "--health-cmd", "false", "--health-interval", "1s", "busybox",
              "sleep", "600")
    until(lambda: values(measured)["engine_daemon_health_checks_total"] >= 2, "checks are counted")
    assert values(measured)["engine_daemon_health_checks_failed_total"] == 0, "they ran, whatever they found"
    docker.ok("rm", "-f", "ill")


def test_nothing_else_is_there(measured: Engine) -> None:
    assert b" 404 " in fetch(measured, "/containers/json").partition(b"\r\n")[0]


@pytest.mark.ours
def test_each_hop_is_measured(measured: Engine) -> None:
    measured.docker.ok("run", "--rm", "-p", "8080:80", "busybox", "true")
    found = values(measured)
    assert found['engine_daemon_containerd_calls_seconds_count{method="Tasks/Create"}'] >= 1
    assert found['engine_daemon_api_requests_seconds_count{method="POST",resource="containers",status="201"}'] >= 1
    assert found["engine_daemon_proxy_starts_seconds_count"] >= 1
    assert found['engine_daemon_hop_processes{role="containerd"}'] == 1
    assert found['engine_daemon_hop_memory_bytes{role="daemon"}'] > 1 << 20
    measured.kill(measured.containerd())
    until(lambda: values(measured)["engine_daemon_containerd_restarts_total"] == 1, "it is started again, and counted")


def test_an_impossible_address_is_refused(fresh: Fresh) -> None:
    code, out = fresh(start=False).fails_to_start("--metrics-addr", "nowhere")
    assert code != 0 and "missing port in address" in out

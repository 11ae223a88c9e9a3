from bench.profile import read

LOG = """\
time=2026-01-01T00:00:00.000Z level=debug module=rpc msg=called method=/containerd.services.tasks.v1.Tasks/Start ms=8.60
time=2026-01-01T00:00:00.000Z level=debug module=shim msg=logger=shim.rpc pid=7 msg=served method=/containerd.task.v3.Task/Start ms=5.20
time=2026-01-01T00:00:00.000Z level=debug module=shim msg=logger=shim.runtime pid=7 msg=runtime verb=start ms=4.90
time=2026-01-01T00:00:00.000Z level=debug module=rpc msg=served method=/containerd.services.tasks.v1.Tasks/Kill ms=1.00
time=2026-01-01T00:00:00.000Z level=debug module=rpc msg=called method=/containerd.services.tasks.v1.Tasks/Start ms=7.40
a line of another kind
"""  # noqa: E501


def test_times_by_hop_and_call() -> None:
    assert read(LOG) == {
        ("dockerd calls", "Tasks/Start"): [8.6, 7.4],
        ("the shim serves", "Task/Start"): [5.2],
        ("the shim runs the runtime's", "start"): [4.9],
    }


def test_calls_in_their_order() -> None:
    lines = LOG.splitlines()
    assert list(read("\n".join(reversed(lines)))) == list(read(LOG))

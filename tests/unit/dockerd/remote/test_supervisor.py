import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import Unavailable
from services.dockerd.config import Config
from services.dockerd.remote import launch
from services.dockerd.remote.launch import Process
from services.dockerd.remote.supervisor import Supervisor
from tests.fakes import containerd

DEADLINE = 20


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """Of a daemon beside which the fake docker-containerd stands."""
    program = tmp_path / "docker-containerd"
    program.write_text(f"#!{sys.executable} -S\n" + Path(containerd.__file__).read_text())
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "dockerd")])
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    made = Config(data_root=tmp_path / "data", exec_root=tmp_path / "exec")
    yield made
    left = launch.find(made.containerd_address)
    if left:
        signal.pidfd_send_signal(left.pidfd, signal.SIGKILL)


def behave(config: Config, how: str) -> None:
    home = Path(config.containerd_address).parent
    home.mkdir(parents=True, exist_ok=True)
    (home / "behaviour").write_text(how)


def given(config: Config) -> dict[str, Any]:
    return dict(json.loads((Path(config.containerd_address).parent / "given").read_text()))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


async def well() -> bool:
    return True


async def hung() -> bool:
    return False


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_starts_and_ends_its_child(config: Config) -> None:
    async def main() -> None:
        supervisor = Supervisor(config, launch.begin(config), well)
        await supervisor.start()
        assert supervisor.process and supervisor.process.ours
        pid = supervisor.process.pid
        await supervisor.stop()
        assert not alive(pid)

    asyncio.run(main())


def test_child_gets_what_is_meant_for_it(config: Config) -> None:
    async def main() -> None:
        supervisor = Supervisor(config, launch.begin(config), well)
        await supervisor.start()
        await supervisor.stop()

    asyncio.run(main())
    seen = given(config)
    assert seen["flags"]["--root"] == f"{config.data_root}/containerd"
    assert seen["flags"]["--state"] == f"{config.exec_root}/containerd"
    assert "NOTIFY_SOCKET" not in seen["environment"]
    assert seen["environment"]["MALLOC_ARENA_MAX"] == "1"
    assert seen["session"] and seen["stdin"] == "/dev/null"
    assert seen["files"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))
    ready = int(seen["flags"]["--ready-fd"])
    # Beside the standard three and the pipe only what reads the directory.
    assert len(set(seen["descriptors"]) - {0, 1, 2, ready}) == 1


def test_killed_child_is_replaced(config: Config) -> None:
    async def main() -> None:
        supervisor = Supervisor(config, launch.begin(config), well)
        await supervisor.start()
        for _ in range(2):
            assert supervisor.process
            before = supervisor.process.pid
            os.kill(before, signal.SIGKILL)
            await until(lambda before=before: launch.find(config.containerd_address) and successor(supervisor, before))
        await supervisor.stop()

    def successor(supervisor: Supervisor, before: int) -> bool:
        return supervisor.process is not None and supervisor.process.pid != before

    asyncio.run(main())


def test_file_system_that_refuses_is_tried_again(config: Config) -> None:
    async def main() -> None:
        supervisor = Supervisor(config, launch.begin(config), well)
        await supervisor.start()
        assert supervisor.process
        first = supervisor.process.pid
        root = config.data_root / "containerd"
        root.rename(root.with_name("aside"))
        root.write_text("no directory")
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.process is None)
        root.unlink()
        root.with_name("aside").rename(root)
        await until(lambda: supervisor.process is not None and launch.find(config.containerd_address))
        assert supervisor.process and supervisor.process.pid != first
        await supervisor.stop()

    asyncio.run(main())


def test_refusal_is_passed_on(config: Config) -> None:
    behave(config, "refuse")

    async def main() -> None:
        supervisor = Supervisor(config, launch.begin(config), well)
        with pytest.raises(Unavailable, match="failed to start docker-containerd: the disk is gone"):
            await supervisor.start()
        await supervisor.stop()

    asyncio.run(main())


def test_silent_end_is_told(config: Config) -> None:
    behave(config, "silent")

    async def main() -> None:
        with pytest.raises(Unavailable, match="it ended without a word"):
            await Supervisor(config, launch.begin(config), well).start()

    asyncio.run(main())


def test_living_one_is_adopted(config: Config) -> None:
    async def main() -> None:
        first = Supervisor(config, launch.begin(config), well)
        await first.start()
        assert first.process
        found = launch.begin(config)
        assert found and (found.pid, found.ours) == (first.process.pid, False)
        second = Supervisor(config, found, well)
        await second.start()
        await second.stop()
        await until(lambda: first.process is None or first.process.pid != found.pid)
        await first.stop()

    asyncio.run(main())


def test_one_found_hung_is_replaced(config: Config) -> None:
    async def main() -> None:
        left = launch.begin(config)
        assert left and left.child
        await until(lambda: bool(launch.find(config.containerd_address)))
        supervisor = Supervisor(config, launch.find(config.containerd_address), hung)
        await supervisor.start()
        assert left.child.wait() == -signal.SIGKILL
        assert supervisor.process and supervisor.process.ours and supervisor.process.pid != left.pid
        await supervisor.stop()

    asyncio.run(main())


def test_one_that_hangs_is_revived(config: Config) -> None:
    async def main() -> None:
        for answers, same in ((well, True), (hung, False)):
            supervisor = Supervisor(config, launch.begin(config), answers)
            await supervisor.start()
            assert supervisor.process
            before = supervisor.process.pid
            await supervisor.revive()
            assert supervisor.process and (supervisor.process.pid == before) is same
            await supervisor.stop()

    asyncio.run(main())


def test_another_containerd_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        config = Config(containerd="/run/containerd/containerd.sock")
        assert launch.begin(config) is None
        supervisor = Supervisor(config, None, hung)
        await supervisor.start()
        await supervisor.revive()
        await supervisor.stop()

    asyncio.run(main())


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "dockerd")])
    monkeypatch.setattr(launch, "which", lambda program: "")
    with pytest.raises(Unavailable, match=r"docker-containerd is neither beside .* nor in PATH"):
        launch.launch(Config(data_root=tmp_path / "d", exec_root=tmp_path / "e"))


def test_nobody_listens_where_nothing_is(tmp_path: Path) -> None:
    assert launch.find(str(tmp_path / "none.sock")) is None
    assert isinstance(Process(1, 2), Process) and not Process(1, 2).ours

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.containerd.types.runc.options import oci_pb2
from services.shim.loop import Loop
from services.shim.reaper import Reaper
from services.shim.runtime import Runtime, RuntimeFailure, Settings, last_error
from tests.fakes.runtime.bundle import PROGRAM, Bundle
from tests.unit.shim.conftest import Run


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path / "bundle", "sleep", "60")


def runtime_of(reaper: Reaper, bundle: Bundle, binary: str = str(PROGRAM)) -> Runtime:
    return Runtime(reaper, Settings(binary, str(bundle.root)), "c1", bundle.path)


def failure(run: Run, call: Callable[[], object]) -> RuntimeFailure:
    with pytest.raises(RuntimeFailure) as caught:
        run(call())  # type: ignore[arg-type]
    return caught.value


def test_life_by_command_line(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    runtime, pid_file = runtime_of(reaper, bundle), bundle.path / "pid"

    async def story() -> int:
        with reaper.keep():
            await runtime.create(pid_file, None, None, None)
            ended = reaper.expect(int(pid_file.read_text()))
        await runtime.start()
        await runtime.pause()
        await runtime.resume()
        await runtime.update({"memory": {"limit": 7}})
        await runtime.kill(signal.SIGTERM, everyone=False)
        status = (await ended).status
        await runtime.delete()
        return status

    assert run(story()) == 128 + signal.SIGTERM
    assert bundle.verbs() == ["create", "start", "pause", "resume", "update", "kill", "delete"]
    assert not list(bundle.path.glob("log-*"))


def test_runtime_inherits_what_is_meant_for_it(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    os.set_inheritable(leak := os.open("/", os.O_RDONLY), True)
    failure(run, runtime_of(reaper, bundle).start)
    os.close(leak)
    (call,) = bundle.calls()
    assert (call["umask"], call["blocked"], call["descriptors"]) == (0o022, "0" * 16, [0, 1, 2])
    assert call["stdio"][0] == os.devnull


def test_failure_speaks_the_runtimes_words(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    text = 'runc create failed: unable to start container process: exec: "x": executable file not found in $PATH'
    bundle.fail("create", text)
    error = failure(run, lambda: runtime_of(reaper, bundle).create(bundle.path / "pid", None, None, None))
    assert str(error) == f"OCI runtime create failed: {text}"
    assert error.status == 1
    assert text in error.tail.replace('\\"', '"')


def test_command_can_be_pasted(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    bundle.fail("start", "no")
    error = failure(run, runtime_of(reaper, bundle).start)
    assert subprocess.run(shlex.split(error.command), capture_output=True).returncode == error.status


def test_silent_failure_shows_the_command(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    error = failure(run, runtime_of(reaper, bundle, "false").start)
    assert "exit status 1" in str(error)
    assert error.command in str(error)


def test_what_it_said_is_shown(run: Run, reaper: Reaper, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "talker").write_text("#!/bin/sh\necho cannot do that >&2\nexit 4\n")
    (tmp_path / "talker").chmod(0o755)
    error = failure(run, runtime_of(reaper, bundle, str(tmp_path / "talker")).start)
    assert str(error) == "OCI runtime start failed: cannot do that"


@pytest.mark.parametrize("prepare", [None, lambda: None])
def test_missing_runtime_is_named(
    run: Run, reaper: Reaper, bundle: Bundle, prepare: Callable[[], None] | None
) -> None:
    runtime = runtime_of(reaper, bundle, "no-such-runtime")
    error = failure(run, lambda: runtime.create(bundle.path / "pid", None, None, prepare))
    text = 'OCI runtime create failed: exec: "no-such-runtime": executable file not found in $PATH'
    assert (str(error), error.status) == (text, 127)


def test_failed_preparation_is_the_reason(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    def prepare() -> None:
        raise OSError(5, "failed to mount rootfs component x")

    runtime = runtime_of(reaper, bundle)
    error = failure(run, lambda: runtime.create(bundle.path / "pid", None, None, prepare))
    assert str(error) == "OCI runtime create failed: failed to mount rootfs component x"
    assert bundle.calls() == []


def test_options_become_flags(run: Run, reaper: Reaper, bundle: Bundle) -> None:
    options = oci_pb2.Options(
        binary_name=str(PROGRAM), root=str(bundle.root), systemd_cgroup=True, no_pivot_root=True, no_new_keyring=True
    )
    runtime = Runtime(reaper, Settings.of(options, bundle.path), "c1", bundle.path)
    bundle.fail("create", "no")
    failure(run, lambda: runtime.create(bundle.path / "pid", None, None, None))
    words = bundle.calls()[0]["words"]
    assert words["systemd_cgroup"] and words["no_pivot"] and words["no_new_keyring"]


def test_settings_outlive_the_shim(tmp_path: Path) -> None:
    settings = Settings.of(oci_pb2.Options(binary_name="crun"), tmp_path)
    settings.save(tmp_path)
    assert Settings.load(tmp_path) == settings
    assert settings.root == str(tmp_path / "records")


def test_last_error_is_found_among_others(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        '{"level":"error","msg":"first"}\n{"level":"error","msg":"second"}\n{"level":"debug","msg":"x"}\nnot json\n'
    )
    message, tail = last_error(tmp_path / "log")
    assert message == "second"
    assert tail.endswith("not json")


def test_no_log_no_error(tmp_path: Path, loop: Loop) -> None:
    assert last_error(tmp_path / "none") == ("", "")

"""OCI runtimes: `--add-runtime`, `runtimes` of daemon.json, `--default-runtime`, and which one a container keeps."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

Fresh = Callable[..., Engine]

UNIFIED = Path("/sys/fs/cgroup/unified")
WRAPPER = """#!/bin/sh
echo "$@" >> {log}
for word in "$@"; do [ "$before" = --bundle ] && bundle=$word; before=$word; done
[ -n "$bundle" ] && {python} - "$bundle/config.json" <<'end'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
document = json.loads(path.read_text())
document.setdefault("hooks", {{}}).setdefault("prestart", []).append({{"path": "{hook}"}})
path.write_text(json.dumps(document))
end
while [ "$1" = --gpu ]; do shift 2; done
exec runc "$@"
"""
HOOK = "#!/bin/sh\ncat > {seen}\n"


@pytest.fixture(scope="module")
def many() -> Iterator[Engine]:
    """Runtimes in the file and as flags; `wrapped` adds a prestart hook to the bundle, as nvidia's runtime does."""
    engine = Engine()
    try:
        script(engine.root / "hook", HOOK.format(seen=engine.root / "seen"))
        python, hook = shutil.which("python3", path="/usr/bin"), engine.root / "hook"
        script(engine.root / "wrapped", WRAPPER.format(log=engine.root / "calls", python=python, hook=hook))
        configure(engine, {"runtimes": {
            "gone": {"path": "/nowhere/gone"},
            "wrapped": {"path": str(engine.root / "wrapped"), "runtimeArgs": ["--gpu", "all"]},
        }})
        engine.start("--config-file", str(engine.root / "daemon.json"), "--add-runtime=crun=/usr/bin/crun")
        engine.load()
        yield engine
    finally:
        engine.close()


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def configure(engine: Engine, document: object) -> None:
    (engine.root / "daemon.json").write_text(json.dumps(document))


def test_all_are_listed(many: Engine) -> None:
    info = many.api.get("/info")
    assert {"runc", "gone", "wrapped", "crun"} <= info["Runtimes"].keys()
    assert info["Runtimes"]["wrapped"]["runtimeArgs"] == ["--gpu", "all"]
    assert info["Runtimes"]["crun"]["path"] == "/usr/bin/crun"
    assert info["DefaultRuntime"] == "runc"
    assert "wrapped" in many.docker.ok("info", "--format", "{{json .Runtimes}}")


def test_the_program_gets_runcs_command_line(many: Engine) -> None:
    """Arguments of the configuration first, then runc's own; what it adds to the bundle is done."""
    docker = many.docker
    assert docker.ok("run", "--rm", "--runtime", "wrapped", "--name", "gpu", "busybox", "echo", "ran") == "ran"
    calls = (many.root / "calls").read_text().splitlines()
    create = next(call for call in calls if " create " in call)
    assert create.startswith("--gpu all --root ") and " --bundle " in create and " --log-format json " in create
    assert any(" start " in call for call in calls)
    until(lambda: " delete " in (many.root / "calls").read_text(), "the runtime forgets the container")
    assert json.loads((many.root / "seen").read_text())["ociVersion"]


def test_exec_and_stop_go_through_it_too(many: Engine) -> None:
    docker = many.docker
    docker.ok("run", "-d", "--init", "--runtime", "wrapped", "--name", "stays", "busybox", "sleep", "600")
    assert docker.inspect("stays", "{{.HostConfig.Runtime}}") == "wrapped"
    assert docker.ok("exec", "stays", "echo", "in") == "in"
    docker.ok("pause", "stays")
    docker.ok("unpause", "stays")
    docker.ok("stop", "stays")
    assert docker.inspect("stays", "{{.State.ExitCode}}") in ("143", "0")
    docker.ok("rm", "stays")
    assert any(" exec " in call for call in (many.root / "calls").read_text().splitlines())


def test_an_unknown_name_is_refused(many: Engine) -> None:
    text = many.docker.fails("run", "--runtime", "nosuch", "busybox", "true", code=125)
    assert "nknown" in text and "runtime" in text and "nosuch" in text


def test_a_missing_program_is_told_at_the_start(many: Engine) -> None:
    docker = many.docker
    result = docker("run", "--runtime", "gone", "--name", "gone", "busybox", "true")
    assert result.code in (125, 127) and "/nowhere/gone" in result.err and "no such file or directory" in result.err
    docker.ok("rm", "gone")


@pytest.mark.parametrize(
    ("flags", "document", "text"),
    [
        (["--add-runtime", "runc=/x"], {}, "runtime name 'runc' is reserved"),
        (["--add-runtime", "x"], {}, "invalid runtime argument: x"),
        (["--add-runtime", "x=/a", "--add-runtime", "x=/b"], {}, "runtime 'x' was already defined"),
        (["--default-runtime", "nosuch"], {}, "specified default runtime 'nosuch' does not exist"),
        ([], {"runtimes": {"runc": {"path": "/x"}}}, "runtime name 'runc' is reserved"),
    ],
)
def test_impossible_runtimes_are_refused(
    many: Engine, flags: list[str], document: dict[str, object], text: str
) -> None:
    file = many.root / "other.json"
    file.write_text(json.dumps(document))
    code, out = many.fails_to_start("--config-file", str(file), *flags)
    assert code != 0 and text in out


def test_a_container_keeps_its_runtime(fresh: Fresh) -> None:
    """The list changes by reload and by restart: what was created keeps what it had, what is new gets the new."""
    engine = fresh(start=False)
    script(engine.root / "first", '#!/bin/sh\necho "$@" >> %s\nexec runc "$@"\n' % (engine.root / "calls"))
    configure(engine, {"runtimes": {"mine": {"path": str(engine.root / "first")}}, "default-runtime": "mine"})
    engine.start("--config-file", str(engine.root / "daemon.json"))
    engine.load()
    docker = engine.docker
    docker.ok("run", "-d", "--init", "--name", "old", "busybox", "sleep", "600")
    assert docker.inspect("old", "{{.HostConfig.Runtime}}") == "mine"
    configure(engine, {"default-runtime": "runc"})
    os.kill(engine.pid, signal.SIGHUP)
    until(lambda: engine.api.get("/info")["DefaultRuntime"] == "runc", "the reload is effective")
    docker.ok("run", "-d", "--init", "--name", "new", "busybox", "sleep", "600")
    assert docker.inspect("new", "{{.HostConfig.Runtime}}") == "runc"
    assert docker.inspect("old", "{{.HostConfig.Runtime}}") == "mine"
    assert docker.ok("exec", "old", "echo", "in") == "in"
    if not engine.reference:  # it has forgotten the name; here it is kept with the container
        calls = engine.root / "calls"
        calls.unlink()
        docker.ok("restart", "old")
        assert " create " in calls.read_text()
        engine.restart("--config-file", str(engine.root / "daemon.json"))
        calls.unlink()
        docker.ok("start", "old")
        assert " create " in calls.read_text()
        assert "mine" in docker.fails("create", "--runtime", "mine", "busybox")


def test_crun(fresh: Fresh) -> None:
    """Debian's crun refuses a hybrid machine whose unified hierarchy has a controller: here it sees the others only."""
    if not shutil.which("crun"):
        pytest.skip("crun is not installed: apt-get install crun")
    hidden = str(UNIFIED) if UNIFIED.is_dir() else ""
    engine = fresh("--add-runtime=crun=/usr/bin/crun", "--default-runtime=crun", without=hidden)
    docker = engine.docker
    docker.ok("run", "-d", "--init", "-m", "64m", "--name", "box", "busybox", "sleep", "600")
    assert docker.inspect("box", "{{.HostConfig.Runtime}}") == "crun"
    assert docker.ok("exec", "box", "echo", "in") == "in"
    docker.ok("pause", "box")
    docker.ok("unpause", "box")
    docker.ok("stop", "box")
    assert "no-such" in docker.fails("run", "--rm", "busybox", "no-such")
    assert docker.ok("run", "--rm", "--read-only", "--user", "1000:1000", "busybox", "id", "-u") == "1000"
    assert "crun" in docker.ok("version", "--format", "{{json .Server.Components}}") or engine.reference


@pytest.mark.ours
def test_a_shims_type_with_options(fresh: Fresh) -> None:
    """containerd's way of naming a runtime; its own shim takes a program and a root."""
    engine = fresh(start=False)
    script(engine.root / "other", '#!/bin/sh\necho "$@" >> %s\nexec runc "$@"\n' % (engine.root / "calls"))
    options = {"BinaryName": str(engine.root / "other"), "Root": str(engine.root / "records")}
    configure(engine, {"runtimes": {"typed": {"runtimeType": "io.containerd.runc.v2", "options": options}}})
    engine.start("--config-file", str(engine.root / "daemon.json"))
    engine.load()
    docker = engine.docker
    assert docker.ok("run", "--rm", "--runtime", "typed", "busybox", "echo", "ran") == "ran"
    assert f"--root {engine.root}/records" in (engine.root / "calls").read_text()
    assert docker.ok("run", "--rm", "--runtime", "io.containerd.runc.v2", "busybox", "echo", "ran") == "ran"
    assert "io.containerd.nosuch.v1" in docker.fails("run", "--runtime", "io.containerd.nosuch.v1", "busybox", "true")

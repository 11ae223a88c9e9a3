from collections.abc import Mapping

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import rules
from services.dockerd.config import Config, Runtime
from services.dockerd.flags import RUNC_SHIM


@pytest.mark.parametrize(
    ("runtime", "problem"),
    [
        (Runtime(), "either a runtimeType or a path must be configured"),
        (Runtime(path="/x", type="io.x.v1"), "cannot configure both path and runtimeType for the same runtime"),
        (Runtime(path="/x", options={"Root": "/r"}), "options cannot be used with a path runtime"),
        (Runtime(type="io.x.v1", args=("-a",)), "args cannot be used with a runtimeType runtime"),
        (Runtime(type=RUNC_SHIM, options={"Nope": 1}), "options has no Nope"),
        (Runtime(type=RUNC_SHIM, options={"Root": 1}), "options.Root must be a string"),
        (Runtime(type=RUNC_SHIM, options={"SystemdCgroup": "yes"}), "options.SystemdCgroup must be a boolean"),
    ],
)
def test_impossible_runtimes_are_refused(runtime: Runtime, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        rules.check(Config(runtimes={"runc": Runtime("runc"), "x": runtime}))
    assert str(refused.value).startswith(f"runtime x: {problem}")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"max_concurrent_downloads": -1}, "invalid max concurrent downloads: -1"),
        ({"max_concurrent_uploads": -1}, "invalid max concurrent uploads: -1"),
        ({"max_download_attempts": -1}, "invalid max download attempts: -1"),
        ({"mtu": -1}, "invalid default MTU: -1"),
        ({"mtu": 67}, "invalid default MTU: 67: a bridge has between 68 and 65535"),
        ({"mtu": 65536}, "invalid default MTU: 65536: a bridge has between 68 and 65535"),
        ({"oom_score_adjust": 1001}, "invalid oom score: 1001"),
        ({"log_format": "xml"}, "invalid log format: xml"),
        ({"min_api_version": "v1.40"}, 'API version must be provided without "v" prefix'),
        ({"min_api_version": "1.1"}, "minimum supported API version is 1.24: 1.1"),
        ({"min_api_version": "1.99"}, "maximum supported API version is 1.51: 1.99"),
        ({"min_api_version": "new"}, "invalid API version: new"),
        ({"default_runtime": "gone"}, "specified default runtime 'gone' does not exist"),
    ],
)
def test_impossible_values_are_refused(given: Mapping[str, object], problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        rules.check(Config(**given))  # type: ignore[arg-type]
    assert str(refused.value).startswith(problem)


def test_names_of_shims_need_no_configuration() -> None:
    assert rules.implicit("io.containerd.kata.v2") and rules.implicit("io.containerd.runc.v2")
    assert not rules.implicit("nvidia") and not rules.implicit("/usr/bin/a.b") and not rules.implicit("..")
    rules.check(Config(default_runtime="io.containerd.runc.v2"))

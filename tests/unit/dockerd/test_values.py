from typing import Any

import pytest

from services.dockerd import values
from services.dockerd.options import OPTIONS

FLAGS = {option.key: option.flag for option in OPTIONS if option.key}


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("debug", True, True), ("mtu", 1400, 1400), ("default-shm-size", 65536, 65536),
        ("default-shm-size", "1k", 1024), ("log-opts", {"a": "b"}, {"a": "b"}),
        ("features", {"cdi": False}, {"cdi": False}), ("labels", ["a=b"], ["a=b"]),
        ("default-ulimits", {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}, {"nofile": (1, 2)}),
        ("default-ulimits", {"nofile": {"name": "nofile", "soft": 1, "HARD": 2}}, {"nofile": (1, 2)}),
        ("runtimes", {"x": {"Path": "/x", "runtimeargs": ["-a"]}}, {"x": {"path": "/x", "runtimeArgs": ["-a"]}}),
        ("default-address-pools", [{"Base": "10.0.0.0/8", "Size": 24}], [("10.0.0.0/8", 24)]),
        ("runtimes", {"x": {"path": "/x", "runtimeArgs": ["-a"]}}, {"x": {"path": "/x", "runtimeArgs": ["-a"]}}),
    ],
)
def test_values_are_as_the_flags(key: str, value: Any, read: Any) -> None:
    assert values.from_json(FLAGS[key], value) == read


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("debug", "yes", "expected a boolean, got a string"), ("mtu", 1.5, "expected a number, got a fraction"),
        ("mtu", 1 << 63, "9223372036854775808 is out of range"),
        ("default-address-pools", [{"base": "10.0.0.0/8", "size": "24"}], "size: expected a number, got a string"),
        ("default-address-pools", [{"base": "10.0.0.0/8"}], "invalid pools size: 0"),
        ("mtu", True, "expected a number, got a boolean"), ("labels", {"a": "b"}, "expected a list, got an object"),
        ("labels", [1], "expected a string, got a number"),
        ("log-opts", {"a": 1}, "a: expected a string, got a number"),
        ("features", {"cdi": "yes"}, "cdi: expected a boolean, got a string"),
        ("runtimes", {"runc": {"path": "/x"}}, "runtime name 'runc' is reserved"),
        ("runtimes", {"x": {"path": 1}}, "x.path: expected a string, got a number"),
        ("runtimes", {"x": {"runtimeArgs": "a"}}, "x.runtimeArgs: expected a list, got a string"),
        ("default-ulimits", {"nofile": {"Soft": "1"}}, "nofile.Soft: expected a number, got a string"),
        ("default-ulimits", {"bogus": {"Soft": 1, "Hard": 1}}, "invalid ulimit type: bogus"),
    ],
)
def test_other_types_are_refused(key: str, value: Any, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        values.from_json(FLAGS[key], value)
    assert str(refused.value) == problem

import pytest

from protos import errdefs
from services.dockerd.logger import options
from services.dockerd.schema.container import LogSettings


def check(driver: str, **given: str) -> None:
    options.check(LogSettings(Type=driver, Config={name.replace("_", "-"): value for name, value in given.items()}))


def test_known_options_pass() -> None:
    check("json-file", max_size="10m", max_file="3", compress="true", labels="a,b", tag="{{.Name}}")
    check("json-file", max_size="1.5k", mode="non-blocking", max_buffer_size="1m")
    check("none")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"colour": "red"}, "unknown log opt 'colour' for json-file log driver"),
        ({"max_size": "big"}, "invalid size: 'big'"),
        ({"max_file": "0"}, "max-file cannot be less than 1"),
        ({"max_file": "x"}, "invalid syntax"),
        ({"compress": "true"}, "compress cannot be true"),
        ({"compress": "maybe"}, "invalid syntax"),
        ({"mode": "sideways"}, "logging mode not supported: sideways"),
    ],
)
def test_bad_options_are_refused(given: dict[str, str], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        check("json-file", **given)


def test_an_unknown_driver_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="no log driver named 'papyrus' is registered"):
        check("papyrus")


def test_a_driver_that_is_not_there_yet_is_said() -> None:
    with pytest.raises(errdefs.Unimplemented, match="journald is not implemented"):
        check("journald")


@pytest.mark.parametrize(
    ("text", "count"), [("10", 10), ("1k", 1024), ("2M", 2 << 20), ("1.5g", 3 << 29), ("3kb", 3072)]
)
def test_sizes(text: str, count: int) -> None:
    assert options.size(text) == count

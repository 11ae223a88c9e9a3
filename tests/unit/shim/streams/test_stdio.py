import os
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.shim.streams.stdio import Pipes, Uri, parse


def test_bare_path_is_a_fifo() -> None:
    assert parse("/run/x/stdout") == Uri("fifo", "/run/x/stdout")
    assert parse("fifo:///run/x") == Uri("fifo", "/run/x")


def test_binary_keeps_its_arguments_in_order() -> None:
    uri = parse("binary:///usr/bin/log%20er+?b=2&a=x+y%2B&flag")
    assert uri == Uri("binary", "/usr/bin/log er+", (("b", "2"), ("a", "x y+"), ("flag", "")))


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="unknown STDIO scheme"):
        parse("http://x")


def test_own_name_is_the_stream_owner() -> None:
    uri = parse("binary:///any/where/docker-containerd-shim?streams=/run/c%20d/config.json")
    assert uri.owner_config == Path("/run/c d/config.json")


@pytest.mark.parametrize("text", [
    "binary:///usr/bin/other?streams=/x", "binary:///x/docker-containerd-shim?a=1&streams=/x",
    "binary:///x/docker-containerd-shim", "file:///x/docker-containerd-shim",
])
def test_others_are_not_the_stream_owner(text: str) -> None:
    assert parse(text).owner_config is None


def test_missing_pipes_are_null() -> None:
    pipes = Pipes.open(stdin=False, stdout=True, stderr=False)
    stdin, stdout, stderr = pipes.child()
    assert stdin == stderr != stdout
    assert Path(f"/proc/self/fd/{stdin}").readlink() == Path(os.devnull)
    assert not os.get_blocking(pipes.stdout)
    assert os.get_blocking(stdout)
    pipes.close_child()
    os.close(pipes.stdout)

"""The original's command line, written and read."""

from protos.binding import Binding
from services.dockerd.network import foreign

WEB = Binding("tcp", "0.0.0.0", 8080, "172.17.0.2", 80)


def test_a_command_line_is_read_back() -> None:
    words = ["/usr/bin/docker-proxy", *foreign.arguments(WEB), "-use-listen-fd"]
    assert foreign.bindings_of(words) == WEB


def test_other_command_lines_are_not_bindings() -> None:
    assert foreign.bindings_of(["docker-proxy", "zygote"]) is None
    assert foreign.bindings_of(["docker-proxy", *foreign.arguments(WEB)[:-2]]) is None

import pytest

from protos.errdefs import InvalidArgument
from services.shim.config import command_line, parse


def test_containerds_spelling_is_understood() -> None:
    words = ["-namespace", "moby", "-address", "/run/c.sock", "-publish-binary", "/usr/bin/containerd", "-id", "x"]
    config = parse([*words, "-debug", "start"])
    assert (config.namespace, config.address, config.id) == ("moby", "/run/c.sock", "x")
    assert (config.action, config.debug) == ("start", True)


def test_other_spellings_of_go_are_understood() -> None:
    config = parse(["--id=x", "-debug=false", "--bundle=/b", "--", "delete"])
    assert (config.id, config.debug, str(config.bundle), config.action) == ("x", False, "/b", "delete")


def test_arguments_follow_the_action() -> None:
    config = parse(["streams", "/config.json", "-x"])
    assert (config.action, config.arguments) == ("streams", ("/config.json", "-x"))


@pytest.mark.parametrize("words", [["-nope"], ["-id"], ["-debug=perhaps"]])
def test_wrong_flags_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        parse(words)


def test_title_names_the_container() -> None:
    config = parse(["-namespace", "moby", "-id", "x", "-address", "/a", "start"])
    assert command_line(config) == ["docker-containerd-shim", "-namespace", "moby", "-id", "x", "-address", "/a"]

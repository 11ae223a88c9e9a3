from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd.images import changes


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ('CMD ["a", "b"]', "Cmd", ["a", "b"]),
        ("cmd a b", "Cmd", ["/bin/sh", "-c", "a b"]),
        ("ENTRYPOINT /run.sh", "Entrypoint", ["/bin/sh", "-c", "/run.sh"]),
        ('ENV A=1 B="two words"', "Env", ["OLD=1", "A=1", "B=two words"]),
        ("ENV OLD two words", "Env", ["OLD=two words"]),
        ("EXPOSE 80 53/udp", "ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ('VOLUME ["/a", "/b"]', "Volumes", {"/a": {}, "/b": {}}),
        ("LABEL a=b", "Labels", {"a": "b"}),
        ("USER nobody", "User", "nobody"),
        ("WORKDIR /srv", "WorkingDir", "/srv"),
        ("STOPSIGNAL INT", "StopSignal", "INT"),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
    ],
)
def test_instructions_change_the_config(change: str, key: str, value: Any) -> None:
    assert changes.apply({"Env": ["OLD=1"]}, [change])[key] == value


@pytest.mark.parametrize("change", ["RUN x", "FROM y", "CMD", "ENV a=1 b", "nonsense"])
def test_other_instructions_are_refused(change: str) -> None:
    with pytest.raises(InvalidArgument):
        changes.apply({}, [change])


def test_the_given_config_stays_as_it_was() -> None:
    config = {"Env": ["A=1"]}
    changes.apply(config, ["ENV A=2"])
    assert config == {"Env": ["A=1"]}

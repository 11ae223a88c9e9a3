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
        ("WORKDIR a", "WorkingDir", "/work/a"),
        ("ENV OLD=$OLD:$NONE:${OLD}:${NONE:-x}:${OLD:+y}", "Env", ["OLD=1::1:x:y"]),
        ("ENV A='$OLD' B=\\$OLD C=\"a $OLD\"", "Env", ["OLD=1", "A=$OLD", "B=$OLD", "C=a 1"]),
        ("LABEL \"a b\"=\"c d\" e=$OLD", "Labels", {"a b": "c d", "e": "1"}),
        ("EXPOSE 80-82 $OLD/UDP", "ExposedPorts", {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}, "1/udp": {}}),
        ("CMD", "Cmd", []),
        ("ENTRYPOINT []", "Entrypoint", None),
        ("ENTRYPOINT x", "Cmd", None),
        ("CMD a\nENTRYPOINT x", "Cmd", ["/bin/sh", "-c", "a"]),
        ("# no change\nUSER \\\n  me", "User", "me"),
        ("STOPSIGNAL INT", "StopSignal", "INT"),
        ("ONBUILD RUN x", "OnBuild", ["RUN x"]),
    ],
)
def test_instructions_change_the_config(change: str, key: str, value: Any) -> None:
    assert changes.apply({"Env": ["OLD=1"], "WorkingDir": "/work", "Cmd": ["old"]}, [change])[key] == value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("RUN x", "run is not a valid change command"), ("nonsense", "nonsense is not a valid change command"),
        ("ENV a=1 b", 'Syntax error - can\'t find = in "b". Must be of the form: name=value'),
        ("ENV a", "ENV must have two arguments"), ("USER", "USER requires exactly one argument"),
        ("EXPOSE 80/foo", "Invalid proto: foo"), ("EXPOSE abc", "Invalid containerPort: abc"),
        ("EXPOSE 9-8", "Invalid containerPort: 9-8"), ("", "file with no instructions"),
        ("USER 'me", "unexpected end of statement while looking for matching single-quote"),
    ],
)
def test_what_is_wrong_is_told_in_dockers_words(change: str, text: str) -> None:
    with pytest.raises(InvalidArgument) as told:
        changes.apply({}, [change])
    assert str(told.value) == text


def test_the_given_config_stays_as_it_was() -> None:
    config = {"Env": ["A=1"]}
    changes.apply(config, ["ENV A=2"])
    assert config == {"Env": ["A=1"]}

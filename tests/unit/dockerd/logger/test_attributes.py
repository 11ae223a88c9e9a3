from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.logger import attributes
from services.dockerd.schema.container import LogSettings
from tests.unit.dockerd.container import made


def select(**options: str) -> dict[str, str]:
    box = made.container(Path("/nowhere"))
    box.config.Labels = {"role": "db", "team": "x", "other": "y"}
    box.config.Env = ["STAGE=test", "DEBUG=1", "BARE"]
    given = {key.replace("_", "-"): each for key, each in options.items()}
    box.host.LogConfig = LogSettings(Type="json-file", Config=given)
    return attributes.select(box)


def test_nothing_is_selected_by_default() -> None:
    assert select() == {}


def test_labels_and_variables_by_name() -> None:
    assert select(labels="role, missing", env="STAGE") == {"role": "db", "STAGE": "test"}


def test_labels_and_variables_by_pattern() -> None:
    assert select(labels_regex="^t", env_regex="DEB") == {"team": "x", "DEBUG": "1"}


def test_a_tag_is_expanded() -> None:
    assert select(tag="{{.Name}}/{{ .ID }}/{{.ImageName}}") == {"tag": f"box/{'a' * 12}/busybox"}


def test_an_unknown_field_of_a_tag_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="no field Colour"):
        select(tag="{{.Colour}}")

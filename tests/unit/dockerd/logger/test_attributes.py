from pathlib import Path

import pytest

from protos import errdefs
from services.dockerd.container.container import Container
from services.dockerd.logger import attributes
from services.dockerd.schema.container import LogSettings
from tests.unit.dockerd.container import made


def select(driver: str = "json-file", **options: str) -> dict[str, str]:
    return attributes.select(box(driver, **options))


def box(driver: str, **options: str) -> Container:
    box = made.container(Path("/nowhere"))
    box.config.Labels = {"role": "db", "team": "x", "other": "y"}
    box.config.Env = ["STAGE=test", "DEBUG=1", "BARE"]
    given = {key.replace("_", "-"): each for key, each in options.items()}
    box.host.LogConfig = LogSettings(Type=driver, Config=given)
    return box


def test_nothing_is_selected_by_default() -> None:
    assert select() == {}


def test_labels_and_variables_by_name() -> None:
    assert select(labels="role, missing", env="STAGE") == {"role": "db", "STAGE": "test"}


def test_labels_and_variables_by_pattern() -> None:
    assert select(labels_regex="^t", env_regex="DEB") == {"team": "x", "DEBUG": "1"}


def test_a_tag_is_expanded() -> None:
    assert select(tag="{{.Name}}/{{ .ID }}/{{.ImageName}}") == {"tag": f"box/{'a' * 12}/busybox"}


def test_an_unknown_field_of_a_tag_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match=r"logging driver: template: log-tag:1: .*field Colour"):
        select(tag="{{.Colour}}")


def test_a_bad_pattern_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match="failed to initialize logging driver: error parsing regexp"):
        select(env_regex="(")
    with pytest.raises(errdefs.InvalidArgument, match="failed to initialize logging driver: error parsing regexp"):
        container = box("json-file", labels_regex="(")
        container.config.Labels = {}
        attributes.select(container)


def test_tags_are_ids_by_default() -> None:
    assert attributes.apart(box("syslog")) == "a" * 12


def test_who_has_no_place_for_a_tag_needs_none() -> None:
    assert attributes.apart(box("none", tag="{{.Colour}}")) == ""


def test_journal_fields_have_their_alphabet() -> None:
    fields = select("journald", labels="role", env="STAGE", tag="{{.Name}}")
    assert fields["CONTAINER_NAME"] == fields["CONTAINER_TAG"] == fields["SYSLOG_IDENTIFIER"] == "box"
    assert (fields["CONTAINER_ID"], fields["CONTAINER_ID_FULL"]) == ("a" * 12, "a" * 64)
    assert (fields["ROLE"], fields["STAGE"], fields["IMAGE_NAME"]) == ("db", "test", "busybox")
    assert attributes.journal_name("_com.example/Some-thing1") == "COM_EXAMPLE_SOME_THING1"


def test_gelf_fields_have_their_underscore() -> None:
    fields = select("gelf", labels="role")
    assert fields["_role"] == "db" and fields["_tag"] == "a" * 12 and fields["_container_name"] == "box"
    assert set(fields) >= {"_container_id", "_image_id", "_image_name", "_command", "_created"}


def test_fluentd_has_the_name_with_its_slash() -> None:
    assert select("fluentd", env="DEBUG") == {"container_id": "a" * 64, "container_name": "/box", "DEBUG": "1"}

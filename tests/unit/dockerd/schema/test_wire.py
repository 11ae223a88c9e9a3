"""Bodies as Docker's own decoder reads them."""

from services.dockerd.schema.container import CreateRequest, HostConfig


def test_null_leaves_a_field_as_it_is() -> None:
    """docker-compose 1 sends null for every number that nobody gave."""
    read = CreateRequest.model_validate_json(
        '{"Image": "x", "Tty": null, "Healthcheck": {"Timeout": null, "Retries": 5}, "HostConfig": {"Memory": null}}'
    )
    assert read.Healthcheck is not None and (read.Healthcheck.Timeout, read.Healthcheck.Retries) == (0, 5)
    assert read.Tty is False and read.HostConfig == HostConfig()


def test_keys_may_have_any_case() -> None:
    read = CreateRequest.model_validate_json('{"image": "x", "hostconfig": {"NETWORKMODE": "host"}}')
    assert read.Image == "x" and read.HostConfig is not None and read.HostConfig.NetworkMode == "host"


def test_the_exact_key_is_taken_before_another_case() -> None:
    assert CreateRequest.model_validate_json('{"Image": "x", "Hostname": "h"}').Hostname == "h"


def test_an_unknown_key_is_ignored() -> None:
    assert CreateRequest.model_validate_json('{"Image": "x", "Nonsense": 1}').Image == "x"

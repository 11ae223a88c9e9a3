from services.dockerd.container.merge import command, merge
from services.dockerd.schema.container import ContainerConfig, HealthConfig

IMAGE = ContainerConfig(
    Cmd=["serve"], Entrypoint=["/entry"], Env=["PATH=/bin", "A=image"], Labels={"a": "image", "b": "image"},
    User="web", WorkingDir="/srv", ExposedPorts={"80/tcp": {}}, Volumes={"/data": {}}, StopSignal="SIGINT",
    Healthcheck=HealthConfig(Test=["CMD", "true"], Interval=5_000_000_000, Retries=2),
)


def merged(**own: object) -> ContainerConfig:
    return merge(ContainerConfig.model_validate(own), IMAGE)


def test_an_image_fills_what_is_open() -> None:
    config = merged()
    assert command(config) == ("/entry", ["serve"])
    assert (config.User, config.WorkingDir, config.StopSignal) == ("web", "/srv", "SIGINT")
    assert config.ExposedPorts == {"80/tcp": {}} and config.Volumes == {"/data": {}}


def test_a_command_keeps_the_entrypoint() -> None:
    assert command(merged(Cmd=["other"])) == ("/entry", ["other"])


def test_an_entrypoint_drops_the_images_command() -> None:
    assert command(merged(Entrypoint=["sh"])) == ("sh", [])


def test_an_empty_entrypoint_removes_it() -> None:
    config = merged(Entrypoint=[""], Cmd=["sh", "-c", "x"])
    assert config.Entrypoint is None and command(config) == ("sh", ["-c", "x"])


def test_a_string_is_a_command_of_one() -> None:
    assert command(merged(Entrypoint="sh")) == ("sh", [])


def test_own_environment_comes_first() -> None:
    assert merged(Env=["A=own", "B=1"]).Env == ["A=own", "B=1", "PATH=/bin"]


def test_own_labels_win() -> None:
    assert merged(Labels={"a": "own"}).Labels == {"a": "own", "b": "image"}


def test_health_checks_are_merged_by_field() -> None:
    config = merged(Healthcheck={"Interval": 1_000_000_000})
    assert config.Healthcheck == HealthConfig(Test=["CMD", "true"], Interval=1_000_000_000, Retries=2)


def test_neither_side_is_changed() -> None:
    before = IMAGE.model_copy(deep=True)
    merged(Env=["A=own"], Labels={"c": "d"})
    assert before == IMAGE

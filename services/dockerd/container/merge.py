"""How an image's configuration fills what a container's leaves open (pure)."""

from services.dockerd.schema.container import ContainerConfig, HealthConfig


def listed(value: list[str] | str | None) -> list[str] | None:
    """A command of the API, where one string stands for a list of one."""
    return [value] if isinstance(value, str) else value


def merge(config: ContainerConfig, image: ContainerConfig) -> ContainerConfig:
    """`config` completed from `image`: a new object; neither is changed."""
    merged = config.model_copy(deep=True)
    merged.Cmd, merged.Entrypoint = listed(config.Cmd), listed(config.Entrypoint)
    if not merged.Entrypoint:
        if not merged.Cmd:
            merged.Cmd, merged.ArgsEscaped = listed(image.Cmd), image.ArgsEscaped
        if merged.Entrypoint is None:
            merged.Entrypoint = listed(image.Entrypoint)
    if merged.Entrypoint == [""]:
        merged.Entrypoint = None
    merged.User = config.User or image.User
    merged.WorkingDir = config.WorkingDir or image.WorkingDir
    merged.StopSignal = config.StopSignal or image.StopSignal
    merged.Env = _environment(config.Env or [], image.Env or [])
    merged.Labels = {**(image.Labels or {}), **(config.Labels or {})}
    merged.ExposedPorts = {**(config.ExposedPorts or {}), **(image.ExposedPorts or {})} or None
    merged.Volumes = {**(config.Volumes or {}), **(image.Volumes or {})} or None
    merged.Healthcheck = _health(config.Healthcheck, image.Healthcheck)
    merged.Shell = config.Shell or image.Shell
    return merged


def _environment(own: list[str], inherited: list[str]) -> list[str]:
    names = {each.partition("=")[0] for each in own}
    return own + [each for each in inherited if each.partition("=")[0] not in names]


def _health(own: HealthConfig | None, inherited: HealthConfig | None) -> HealthConfig | None:
    if own is None or inherited is None:
        return own or inherited
    return HealthConfig(
        Test=own.Test or inherited.Test,
        Interval=own.Interval or inherited.Interval,
        Timeout=own.Timeout or inherited.Timeout,
        StartPeriod=own.StartPeriod or inherited.StartPeriod,
        StartInterval=own.StartInterval or inherited.StartInterval,
        Retries=own.Retries or inherited.Retries,
    )


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """Path and arguments of a merged configuration; an empty path where it names no command."""
    words = (listed(config.Entrypoint) or []) + (listed(config.Cmd) or [])
    return (words[0], words[1:]) if words else ("", [])

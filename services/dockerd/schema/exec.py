"""Bodies of exec: what create takes, and what start takes."""

from services.dockerd.schema.wire import Wire


class ExecConfig(Wire):
    User: str = ""
    Privileged: bool = False
    Tty: bool = False
    ConsoleSize: list[int] | None = None
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    DetachKeys: str = ""
    Env: list[str] | None = None
    WorkingDir: str = ""
    Cmd: list[str] | str | None = None


class ExecStart(Wire):
    Detach: bool = False
    Tty: bool = False
    ConsoleSize: list[int] | None = None

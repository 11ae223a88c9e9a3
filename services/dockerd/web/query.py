"""Query parameters with Docker's own rules for booleans and numbers; `filters` are services/dockerd/filters.py."""

from typing import TYPE_CHECKING

from protos.errdefs import InvalidArgument

if TYPE_CHECKING:
    from starlette.requests import Request

FALSE = frozenset(("", "0", "no", "false", "none"))


def flag(request: "Request", name: str, default: bool = False) -> bool:
    """True unless empty, 0, no, false or none; `default` where the parameter is missing."""
    value = request.query_params.get(name)
    return default if value is None else value.strip().lower() not in FALSE


def number(request: "Request", name: str, default: int | None = None) -> int | None:
    """A decimal number; `default` where it is missing or empty."""
    value = request.query_params.get(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError as error:
        raise InvalidArgument(f'invalid value for {name}: parsing "{value}": invalid syntax') from error

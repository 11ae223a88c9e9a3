"""What every model of the Engine API has in common: wire spelling as field names, null where Docker has null."""

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Wire(BaseModel):
    """A JSON object of the Engine API. Unknown keys are ignored, as Docker's decoder does.

    A model is compiled when it is first used: all of them together would take a tenth of the daemon's start.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True, validate_assignment=False, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _as_go_reads(cls, given: Any) -> Any:
        """null leaves a field as it is, and a key may have any case: clients rely on both."""
        if not isinstance(given, dict):
            return given
        return {_name(cls, key): value for key, value in given.items() if value is not None}


def _name(model: type[Wire], key: str) -> str:
    return key if key in model.model_fields else _names(model).get(key.lower(), key)


@cache
def _names(model: type[Wire]) -> dict[str, str]:
    return {name.lower(): name for name in model.model_fields}

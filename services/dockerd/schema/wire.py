"""What every model of the Engine API has in common: wire spelling as field names, null where Docker has null."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A JSON object of the Engine API. Unknown keys are ignored, as Docker's decoder does.

    A model is compiled when it is first used: all of them together would take a tenth of the daemon's start.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True, validate_assignment=False, defer_build=True)

"""What every model of the Engine API has in common: wire spelling as field names, null where Docker has null."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A JSON object of the Engine API. Unknown keys are ignored, as Docker's decoder does."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, validate_assignment=False)

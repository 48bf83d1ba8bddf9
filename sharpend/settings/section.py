"""Base class of the tables of the settings: immutable, without unknown keys or infinite numbers."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

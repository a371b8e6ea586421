"""What a JSON object of a request has in common with others, whichever protocol it belongs to."""

from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Message(BaseModel):
    """A JSON object; unknown keys are one error, since a body of them alone would else be hundreds of thousands."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, given: Any) -> Any:
        keys = given if isinstance(given, dict) else ()
        if unknown := list(islice((key for key in keys if key not in cls.model_fields), 3)):
            found = ", ".join(key[:40].encode("utf-8", "replace").decode() for key in unknown)
            told = {"found": found, "known": ", ".join(cls.model_fields)}
            raise PydanticCustomError("unknown_keys", "{found}: unknown; there are {known}", told)
        return given

"""The versions of the registered model: what their tags tell, and who holds the aliases."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcgan.system.errors import BadDataError
from dcgan.tracking.download import REGISTER, no_such_model
from dcgan.tracking.failures import is_missing
from dcgan.tracking.provenance import GENERATOR_SHA256

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

GATES, FAILED_GATES, DECISION = "gates", "failed_gates", "decision"
"""The tags with what `register` found: `passed` or `failed`; which, with values and bounds; the alias, and why."""
PROMOTED_BY, PROMOTED_AT, PROMOTION_REASON = "promoted_by", "promoted_at", "promotion_reason"
FORCED = "forced"
"""The tag with what a promotion by force disregarded."""
ROLLED_BACK_BY, ROLLED_BACK_AT, ROLLBACK_REASON = "rolled_back_by", "rolled_back_at", "rollback_reason"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version as `dcgan versions` shows it; what its tags do not tell is None."""

    version: str
    aliases: tuple[str, ...]
    fcd: float | None
    fcd_floor: float | None
    gates: str | None
    """`passed` or `failed`."""
    failed_gates: str | None
    """Which, with values and bounds."""
    registered_at: str
    """UTC, ISO 8601."""
    decision: str | None
    """What `register` decided, and why."""
    by_hand: tuple[str, ...]
    """What people did with it later."""
    generator_sha256: str | None

    @property
    def fcd_over_floor(self) -> float | None:
        """The fcd as a multiple of its floor."""
        return self.fcd / self.fcd_floor if self.fcd is not None and self.fcd_floor else None


def list_versions(client: "MlflowClient", name: str) -> list[Version]:
    """All versions of the registered model `name`, the newest first.

    Raises:
        BadDataError: there is no such model.
    """
    holders = find_model(client, name).aliases
    found = sorted(find_versions(client, name).items(), key=lambda each: -int(each[0]))
    return [
        _summary(version, tuple(sorted(alias for alias, held in holders.items() if str(held) == number)))
        for number, version in found
    ]


def find_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    """The registered model `name`.

    Raises:
        BadDataError: there is none.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise BadDataError(no_such_model(name, REGISTER)) from error


def find_versions(client: "MlflowClient", name: str) -> dict[str, "ModelVersion"]:
    """The versions of the registered model `name` by their numbers; deleted ones are not among them."""
    quote = '"' if "'" in name else "'"
    # A name with quotes of both kinds cannot be asked for.
    condition = f"name = {quote}{name}{quote}" if quote not in name else None
    return {str(each.version): each for each in client.search_model_versions(condition) if each.name == name}


def champion_of(model: "RegisteredModel") -> str | None:
    """The number of the version that has the alias champion."""
    number = model.aliases.get("champion")
    return None if number is None else str(number)


def hand_notes(tags: Mapping[str, str]) -> tuple[str, ...]:
    """What people did with a version, a sentence each, from its tags."""
    notes = []
    if PROMOTED_AT in tags:
        how = f", although it {tags[FORCED]}" if FORCED in tags else ""
        notes.append(_sentence("promoted", tags.get(PROMOTED_BY), tags[PROMOTED_AT], tags.get(PROMOTION_REASON), how))
    if ROLLED_BACK_AT in tags:
        who, when = tags.get(ROLLED_BACK_BY), tags[ROLLED_BACK_AT]
        notes.append(_sentence("rolled back", who, when, tags.get(ROLLBACK_REASON)))
    return tuple(notes)


def number_or_none(text: str | None) -> float | None:
    """The number that a tag holds; None where it holds none, or people have written something else there."""
    try:
        number = float(text or "None")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _sentence(what: str, who: str | None, when: str, reason: str | None, how: str = "") -> str:
    return f"{what} by {who or 'unknown'} at {when}{how}{f'; reason: {reason}' if reason else ''}"


def _summary(version: "ModelVersion", aliases: tuple[str, ...]) -> Version:
    tags: Mapping[str, Any] = version.tags
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return Version(
        version=str(version.version),
        aliases=aliases,
        fcd=number_or_none(tags.get("fcd")),
        fcd_floor=number_or_none(tags.get("fcd_floor")),
        gates=tags.get(GATES),
        failed_gates=tags.get(FAILED_GATES) if tags.get(GATES) == "failed" else None,
        registered_at=created.isoformat(timespec="seconds"),
        decision=tags.get(DECISION),
        by_hand=hand_notes(tags),
        generator_sha256=tags.get(GENERATOR_SHA256),
    )

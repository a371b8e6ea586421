"""Promotion and rollback: the alias `champion` moves from one version of the registered model to another.

MLflow moves an alias whoever has it by then, and keeps no history. So who has it is read again before and after, a lock
keeps the users of one sqlite file apart, and a tag of the registered model tells who was champion.
"""

import getpass
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.system.errors import BadDataError, BusyError
from dcgan.system.locks import exclusive
from dcgan.tracking.download import LIST
from dcgan.tracking.store import registry_uri, sqlite_file
from dcgan.tracking.upload import holds_file
from dcgan.tracking.versions import (
    FAILED_GATES,
    FORCED,
    GATES,
    PROMOTED_AT,
    PROMOTED_BY,
    PROMOTION_REASON,
    ROLLBACK_REASON,
    ROLLED_BACK_AT,
    ROLLED_BACK_BY,
    champion_of,
    find_model,
    find_versions,
    hand_notes,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPIONS = "champions"
"""The registered model's tag with the versions that were champion, in the order in which they last became it."""
MOST_CHAMPIONS = 100
"""That the tag lists; MLflow 2 takes 5,000 characters."""
LOCK_SECONDS = 10
"""How long to wait while another process moves an alias."""
NOT_ROLLED_BACK: dict[str, str | None] = dict.fromkeys((ROLLED_BACK_AT, ROLLED_BACK_BY, ROLLBACK_REASON))
NOTE = "> "
"""How a version's page begins the lines on what people did."""


def promote(
    client: "MlflowClient", name: str, number: str, *, is_forced: bool = False, reason: str | None = None
) -> str:
    """Make the version `number` champion; a sentence on what happened.

    Raises:
        BadDataError: there is no such version, its file is gone, or it failed gates and nobody forces it.
        BusyError: somebody else moved the alias meanwhile.
    """
    with alias_lock():
        before = champion_of(find_model(client, name))
        version = find_versions(client, name).get(number)
        if version is None:
            raise BadDataError(f"{name}: has no version {number}; {LIST}")
        if before == number:
            _remember(client, name, number)  # in case that it became champion by hand
            return f"{name} version {number} is the champion already"
        if not holds_file(client, name, number):
            raise BadDataError(f"{name} version {number}: its file is gone; promote another; {LIST}")
        obstacle = _obstacle(version.tags)
        if obstacle and not is_forced:
            way_out = f"`dcgan promote {number} --force --reason TEXT` makes it champion all the same"
            raise BadDataError(f"{name} version {number} {obstacle}; {way_out}")
        promoted = {PROMOTED_BY: _user(), PROMOTED_AT: _now(), PROMOTION_REASON: reason, FORCED: obstacle}
        _require_champion(client, name, before)
        note(client, version, promoted | NOT_ROLLED_BACK)
        give_alias(client, name, number, before=before)
    replaced = f", in place of version {before}" if before else ""
    return f"{name} version {number} is champion now{replaced}{f', although it {obstacle}' if obstacle else ''}"


def roll_back(client: "MlflowClient", name: str, *, reason: str | None = None) -> list[str]:
    """Give the alias back to the last champion before the present one; sentences on what happened.

    Versions that were deleted, that lost their file or that were rolled back themselves are skipped.

    Raises:
        BadDataError: there is no earlier champion.
        BusyError: somebody else moved the alias meanwhile.
    """
    with alias_lock():
        model, versions = find_model(client, name), find_versions(client, name)
        before, skipped = champion_of(model), []
        for number in reversed(_champions(model.tags)):
            if number == before:
                continue
            if problem := _unfitness(client, name, versions.get(number)):
                skipped.append(f"version {number} is skipped: {problem}")
            else:
                break
        else:
            way_out = f"`dcgan promote VERSION` chooses one; {LIST}"
            raise BadDataError(f"{name}: {'; '.join(['there is no earlier champion', *skipped])}; {way_out}")
        if before:
            _require_champion(client, name, before)
            rolled_back = {ROLLED_BACK_BY: _user(), ROLLED_BACK_AT: _now(), ROLLBACK_REASON: reason}
            note(client, versions[before], rolled_back)
        give_alias(client, name, number, before=before)
        if before and "challenger" not in client.get_registered_model(name).aliases:
            client.set_registered_model_alias(name, "challenger", before)
    instead = f", and version {before} is not" if before else ""
    return [*skipped, f"{name} version {number} is champion again{instead}"]


@contextmanager
def alias_lock() -> Iterator[None]:
    """Keep others who use the same sqlite file from moving an alias; servers have nothing of the kind.

    Raises:
        BusyError: somebody else holds the lock, for longer than a moment.
    """
    database = sqlite_file(registry_uri())
    if database is None:
        yield
        return
    with exclusive(Path(f"{database}.lock"), wait_seconds=LOCK_SECONDS):
        yield


def give_alias(client: "MlflowClient", name: str, number: str, *, before: str | None) -> None:
    """Make the version `number` champion, where `before` had the alias when that was decided.

    Raises:
        BusyError: somebody else moved it meanwhile.
    """
    _require_champion(client, name, before)
    if before and before != number:
        _remember(client, name, before)
    client.set_registered_model_alias(name, "champion", number)
    _remember(client, name, number)
    model = client.get_registered_model(name)
    if str(model.aliases.get("challenger")) == number:
        client.delete_registered_model_alias(name, "challenger")
    if (now := champion_of(model)) != number:
        told = f"version {number} became champion, but somebody else gave the alias to version {now} at the same time"
        raise BusyError(f"{name}: {told}; see `dcgan versions`")


def note(
    client: "MlflowClient", version: "ModelVersion", tags: Mapping[str, str | None], *, page: str | None = None
) -> None:
    """Set tags of a version, remove those that are None, and tell of them on its page, which may be a new one."""
    for key, value in tags.items():
        if value is not None:
            client.set_model_version_tag(version.name, str(version.version), key, value)
        elif key in version.tags:
            client.delete_model_version_tag(version.name, str(version.version), key)
    kept = {key: value for key, value in {**version.tags, **tags}.items() if value is not None}
    page = _with_notes((version.description or "") if page is None else page, kept)
    client.update_model_version(version.name, str(version.version), page)


def _with_notes(page: str, tags: Mapping[str, str]) -> str:
    """A version's page, Markdown, that begins with what people did with the version, from its tags."""
    old = [line for line in page.splitlines() if not line.startswith(NOTE)]
    new = [f"{NOTE}{sentence[0].upper()}{sentence[1:]}.  " for sentence in hand_notes(tags)]
    return "\n".join([*new, *([""] if new else []), *old]).lstrip("\n")


def _champions(tags: Mapping[str, str]) -> list[str]:
    return re.findall(r"\d+", tags.get(CHAMPIONS, ""))


def _remember(client: "MlflowClient", name: str, number: str) -> None:
    """Write down that the version is champion, later than all others."""
    known = _champions(client.get_registered_model(name).tags)
    if known[-1:] != [number]:
        champions = [*(each for each in known if each != number), number][-MOST_CHAMPIONS:]
        client.set_registered_model_tag(name, CHAMPIONS, ", ".join(champions))


def _require_champion(client: "MlflowClient", name: str, number: str | None) -> None:
    now = champion_of(client.get_registered_model(name))
    if now != number:
        told = f"the alias champion moved from version {number or 'none'} to {now or 'none'} meanwhile"
        raise BusyError(f"{name}: {told}, and stays there; see `dcgan versions`, then try again")


def _obstacle(tags: Mapping[str, str]) -> str | None:
    """Why the gates would not make it champion."""
    if tags.get(GATES) == "passed":
        return None
    if tags.get(GATES) == "failed":
        return f"fails gates: {tags.get(FAILED_GATES, 'unknown')}"
    return "has no tags that tell of gates"


def _unfitness(client: "MlflowClient", name: str, version: "ModelVersion | None") -> str | None:
    """Why a former champion cannot be champion again."""
    if version is None:
        return "it was deleted"
    if ROLLED_BACK_AT in version.tags:
        return "it was rolled back"
    return None if holds_file(client, name, str(version.version)) else "its file is gone"


def _user() -> str:
    """Who does this: the login of MLflow's server, else of the machine."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""`dcgan versions`: what the registry has, and which version is champion."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from dcgan.commands.registered_model import NameOption, registered_model
from dcgan.tracking.store import open_store
from dcgan.tracking.versions import list_versions

if TYPE_CHECKING:
    from dcgan.tracking.versions import Version

HEADERS = ("version", "aliases", "fcd / floor", "gates", "registered (UTC)", "generator")
INDENT = " " * 4


def show_versions(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, with every figure and reason.")] = False,
    name: NameOption = None,
) -> None:
    """List the versions of the registered model, the newest first; `*` marks the champion.

    Raises:
        BadDataError: there is no such model.
        DcganError: MLflow is missing, cannot be reached or refuses something.
    """
    with open_store() as client:
        versions = list_versions(client, registered_model(name))
    if as_json:
        listed = [dataclasses.asdict(each) | {"fcd_over_floor": each.fcd_over_floor} for each in versions]
        print(json.dumps(listed, indent=2))
        return
    rows = [HEADERS, *map(_row, versions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, notes in zip(rows, [(), *map(_notes, versions)], strict=True):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        for note in notes:
            print(f"{INDENT}{note}")


def _row(version: "Version") -> tuple[str, ...]:
    cells = (
        f"{'* ' if 'champion' in version.aliases else '  '}{version.version}",
        ", ".join(version.aliases),
        "-" if version.fcd_over_floor is None else f"{version.fcd_over_floor:.2f}",
        version.gates or "-",
        version.registered_at[:16].replace("T", " "),
        (version.generator_sha256 or "-")[:8],
    )
    return tuple(map(_printable, cells))


def _notes(version: "Version") -> list[str]:
    """What `register` decided, the failed gates among it, and what people did later."""
    registered = [] if version.decision is None else [f"registered as {version.decision}"]
    return [_printable(note) for note in (*registered, *version.by_hand)]


def _printable(text: str) -> str:
    """What others wrote into the registry, on one line and without control characters for the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text.replace("\n", " "))

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

HEADERS = ("version", "aliases", "fcd / floor", "gates", "registered (UTC)", "generator", "decision")


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
    print(_table([HEADERS, *map(_row, versions)]))


def _row(version: "Version") -> tuple[str, ...]:
    ratio = "-" if version.fcd_over_floor is None else f"{version.fcd_over_floor:.2f}"
    registered_at = version.registered_at[:16].replace("T", " ")
    decision = "; ".join(version.by_hand) or version.decision or "-"
    gates = {"failed": f"failed: {version.failed_gates}"}.get(version.gates or "", version.gates or "-")
    return (
        f"{'* ' if 'champion' in version.aliases else '  '}{version.version}",
        ", ".join(version.aliases),
        ratio,
        gates,
        registered_at,
        (version.generator_sha256 or "-")[:8],
        decision,
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the last ones end where they end."""
    cells = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(map(str.rstrip, lines))


def _printable(text: str) -> str:
    """What others wrote into the registry, on one line and without control characters for the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text.replace("\n", " "))

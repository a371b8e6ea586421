"""The history of a training as a file: one JSON object a line, `{"step": 50, "generator/loss": 0.7, …}`."""

import json
from pathlib import Path

from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a history file in their order, without a last line that a kill tore; none if there is no file.

    Raises:
        BadDataError: a line before the last is no row.
    """
    if not path.is_file():
        return []
    rows = [_row_or_none(line) for line in path.read_bytes().splitlines()]
    if rows and rows[-1] is None:
        rows.pop()
    whole = [row for row in rows if row is not None]
    if len(whole) < len(rows):
        raise BadDataError(f"{path}: line {rows.index(None) + 1} is no row; {rerun('train')}")
    return whole


def _row_or_none(line: bytes) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None

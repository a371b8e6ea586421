"""The description of a run on its MLflow page: the result with its floors, a grid of samples, the configuration."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from dcgan.evaluation.report import HEADLINES

NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as a description, Markdown."""
RUN_ID = "RUN_ID"
GRID = "evaluation/samples.png"
_MARK = re.compile(r"\n\n<!-- An edited description is kept\. (\w+) -->$")


def describe(report: Mapping[str, Any]) -> str:
    """The result of an evaluation, whose report this is: the fcd, the headlines as a table, and a grid of samples."""
    ratio = _number(report, "fcd_over_floor")
    samples = f"{report.get('num_samples', 0):,} samples a seed"
    rows = [name for name in HEADLINES if name in report and not name.endswith("_floor")]
    values = ((name, _number(report, name), _number(report, f"{name}_floor")) for name in rows)
    table = [f"| {name.replace('_', ' ')} | {value} | {floor} |" for name, value, floor in values]
    address = urlencode({"path": GRID, "run_uuid": RUN_ID})  # relative to MLflow's pages
    return "\n".join(
        [
            f"**fcd {_number(report, 'fcd')}, {ratio} times its floor**, on {samples}\n",
            "| | samples | real images |",
            "|---|---|---|",
            *table,
            f"\n![samples](get-artifact?{address})",
        ]
    )


def marked(summary: str, result: str) -> str:
    """A description of what is there of both, with a comment, which MLflow's pages do not show, for `is_ours`."""
    text = "\n\n".join(part for part in (summary, result) if part)
    return f"{text}\n\n<!-- An edited description is kept. {_digest(text)} -->" if text else ""


def is_ours(description: str) -> bool:
    """Whether a description is as `marked` made it: people have not edited it."""
    found = _MARK.search(description)
    return found is not None and found[1] == _digest(description[: found.start()])


def summary_of(description: str) -> str:
    """The summary that a description of ours begins with."""
    return _MARK.sub("", description).partition("\n\n")[0]


def _number(report: Mapping[str, Any], name: str) -> str:
    value = report.get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:12]

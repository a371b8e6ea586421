"""The failed expectations of a data set as a table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from dcgan.data.expectations import Finding

PLAIN_WIDTH = 140
"""Of the table where the output is no terminal, such as a log file."""


def print_failures(findings: Sequence[Finding]) -> None:
    """Print what was expected, what was found instead, and example rows, for each finding without success."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    failures = [finding for finding in findings if not finding.success]
    table = Table(
        *("Expected", "Found", "Examples"),
        title=f"{len(failures)} of {len(findings)} expectations failed",
        box=box.ROUNDED if console.is_terminal else box.ASCII,
    )
    for finding in failures:
        examples = "\n".join(shown_row(row) for row in finding.examples)
        table.add_row(*(Text(cell) for cell in (finding.description, shown_observation(finding), examples)))
    console.print(table)


def shown_observation(finding: Finding) -> str:
    """What was found, in words."""
    observed, count = finding.observed, finding.unexpected_count
    if count is not None:
        return f"otherwise in {count:,} {'image' if count == 1 else 'images'} ({observed:.3%})"
    return f"{observed:,}"


def shown_row(row: Mapping[str, Any]) -> str:
    """As `train 17: ink_max = 0`."""
    values = {
        key: f"{value:.4g}" if isinstance(value, float) else value
        for key, value in row.items()
        if key not in ("split", "index")
    }
    found = ", ".join(f"{key} = {value}" for key, value in values.items())
    return f"{row['split']} {row['index']}: {found}"

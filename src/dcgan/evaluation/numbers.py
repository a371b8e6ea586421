"""The numbers of a report, flat, as a metric store takes them."""

from collections.abc import Mapping
from typing import Any


def numbers_in(report: Mapping[str, Any], *, prefix: str = "evaluation") -> dict[str, float]:
    """The numbers of a report as metrics: `evaluation/fcd`, `evaluation/discriminator/accuracy`, by digit `…/3`."""
    metrics: dict[str, float] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            metrics |= numbers_in(value, prefix=f"{prefix}/{name}")
        elif isinstance(value, list):
            metrics |= numbers_in({str(index): each for index, each in enumerate(value)}, prefix=f"{prefix}/{name}")
        elif isinstance(value, int | float):
            metrics[f"{prefix}/{name}"] = float(value)
    return metrics

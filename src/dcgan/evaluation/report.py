"""What a person sees of an evaluation: progress, the headline metrics, and one line for the terminal."""

from collections.abc import Mapping
from typing import Any

from dcgan.system.progress import tell

HEADLINES = (
    "fcd", "fcd_floor", "precision", "recall", "label_accuracy", "witness_fcd", "witness_fcd_floor",
    "two_sample_accuracy", "two_sample_accuracy_floor",
)  # fmt: skip
PIXEL_HEADLINES = ("haze", "longest_side_20", "center_spread")
"""Of the samples."""


def print_progress(part: str) -> None:
    """Name the part of an evaluation that begins, on stderr."""
    tell(f"evaluate: {part}")


def headline_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """The few metrics that `dvc exp show` and `dvc metrics diff` compare; without those that were not measured."""
    pixels = {name: report["pixels"]["samples"][name] for name in PIXEL_HEADLINES}
    headlines = {name: report[name] for name in HEADLINES} | pixels
    return {name: value for name, value in headlines.items() if value is not None}


def summary_line(report: Mapping[str, Any]) -> str:
    """The fcd with its spread and floor in one line."""
    seeds = report["num_seeds"]
    spread = f" (spread {report['fcd_spread']:.3f} over {seeds} sampling seeds)" if seeds > 1 else ""
    return (
        f"fcd {report['fcd']:.3f}{spread}, {report['fcd_over_floor']:.2f} times its floor {report['fcd_floor']:.3f},"
        f" on {report['num_samples']:,} samples a seed"
    )

"""Training curves, from the history of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dcgan.figures.drawing import label_axes, save_figure, save_table

QUICK_FCD = ("train/quick_fcd", "train/quick_fcd_floor")
REPORTED = ("discriminator/loss", "generator/loss", "discriminator/real_logits", "discriminator/fake_logits")
PANELS = {
    "Losses": REPORTED[:2],
    "Mean logits": REPORTED[2:],
    "Quick fcd of the samples": QUICK_FCD,
    "Label error of the samples": ("train/label_error",),
}
"""What each panel shows; one without any value is left out."""


def save_training(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write training.csv (losses and logits), quick_fcd.csv, and training.png with the curves of both."""
    for name, columns in {"training": REPORTED, "quick_fcd": QUICK_FCD}.items():
        rows = [[row["step"], *(row.get(key, "") for key in columns)] for row in history if columns[0] in row]
        save_table(folder / f"{name}.csv", ["step", *columns], rows)
    figure = Figure(figsize=(10, 6), layout="constrained")
    for place, (title, keys) in enumerate(PANELS.items(), start=1):
        curves = {key: [(row["step"], row[key]) for row in history if key in row] for key in keys}
        if not any(curves.values()):
            continue
        axes = figure.add_subplot(2, 2, place)
        for key, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=key, linewidth=1)
        label_axes(axes, title=title, x="step", y="")
        if len(keys) > 1:
            axes.legend(frameon=False)
        if keys == QUICK_FCD:
            axes.set_yscale("log")
        elif len(keys) == 1:
            axes.set_ylim(bottom=0)
    save_figure(folder / "training.png", figure)

"""Pictures of searches for latents."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dcgan.figures.drawing import finish, save_figure

MOST_NAMED = 10


def save_curves(path: Path, errors: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Draw the mean squared error of every search, with its name, by its step; more than ten are not named."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in errors:
        axes.plot(curve, label=name, linewidth=1)
    axes.set_yscale("log")
    finish(axes, title="Squared error of the best candidate", x="step", y="mean over the pixels, in [-1, 1]")
    if len(errors) <= MOST_NAMED:
        axes.legend(frameon=False, fontsize="small")
    save_figure(path, figure)

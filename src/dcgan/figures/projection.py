"""Pictures of projections: targets, starts and results side by side, and the error of each search."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.batches import to_pixels
from dcgan.figures.drawing import label_axes, new_figure, save_figure, save_grid
from dcgan.gan.inversion import Projection
from dcgan.gan.sampling import image_grid

COLUMNS = 10
"""Images side by side in projections.png."""
MAX_NAMED = 10
"""Curves that a legend can name."""


def save_projections(folder: Path, names: Sequence[str], targets: torch.Tensor, found: Sequence[Projection]) -> None:
    """Write projections.png and curves.png of targets, images [N, 1, 28, 28] in [-1, 1], and their projections."""
    images = [targets, torch.stack([each.start for each in found]), torch.stack([each.found for each in found])]
    save_grid(folder / "projections.png", before_and_after(*(to_pixels(each) for each in images)), scale=3)
    save_curves(folder / "curves.png", {name: each.errors.tolist() for name, each in zip(names, found, strict=True)})


def before_and_after(targets: torch.Tensor, starts: torch.Tensor, found: torch.Tensor) -> NDArray[np.uint8]:
    """A grid with three rows for every ten targets: pixels [N, 28, 28] of targets, of starts, and of results."""
    columns = min(COLUMNS, len(targets))
    padding = (0, 0, 0, 0, 0, -len(targets) % columns)
    rows = [pad(each, padding).reshape(-1, columns, IMAGE_SIZE, IMAGE_SIZE) for each in (targets, starts, found)]
    return image_grid(torch.stack(rows, dim=1).flatten(0, 2), columns=columns)


def save_curves(path: Path, errors: dict[str, list[float]]) -> None:
    """Draw the mean squared error of each search by its step; a legend names them if they are ten or fewer."""
    figure, axes = new_figure(7, 4)
    for name, curve in errors.items():
        axes.plot(curve, label=name, linewidth=1)
    axes.set_yscale("log")
    label_axes(axes, title="Squared error of the best candidate", x="step", y="mean over the pixels, in [-1, 1]")
    if len(errors) <= MAX_NAMED:
        axes.legend(frameon=False, fontsize="small")
    save_figure(path, figure)

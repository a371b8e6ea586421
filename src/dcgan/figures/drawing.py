"""Tables, grids of images, and charts, as files with reproducible bytes."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dcgan.system.files import write_atomically, write_bytes


def save_grid(path: Path, pixels: NDArray[np.uint8], *, scale: int = 2) -> None:
    """Write a grid uint8 [height, width] as a PNG, each pixel `scale` pixels wide."""
    image = Image.fromarray(pixels)
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    write_atomically(path, lambda file: enlarged.save(file, "PNG"))


def save_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with one line of column names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of that size in inches, with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def label_axes(axes: Axes, *, title: str, x: str, y: str) -> None:
    """Give axes title, labels and grid, in the style that all charts share."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG without matplotlib's version; equal figures give equal bytes."""
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110, metadata={"Software": None}))

"""Pictures for people and tables for `dvc plots`."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dcgan.core.metrics.discriminator import RocCurve
from dcgan.files import write_atomically, write_bytes

CURVES = {
    "Losses": ["discriminator/loss", "generator/loss"],
    "Mean logits": ["discriminator/real_logits", "discriminator/fake_logits"],
    "R1 penalty": ["discriminator/r1"],
    "Images per second": ["train/images_per_second"],
}
ROC_POINTS = 500
"""Points of a ROC curve kept in its table: a curve of 20,000 logits looks the same and loads at once."""


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


def save_history(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the rows of a training history as training.csv, and draw them as training.png, one panel a kind."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    save_table(folder / "training.csv", columns, ([row.get(column, "") for column in columns] for row in history))
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for key in keys:
            points = [(row["step"], row[key]) for row in history if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=key, linewidth=1)
        _finish(axes, title=title, x="step", y="")
        if len(keys) > 1:
            axes.legend(frameon=False)
    _save(folder / "training.png", figure)


def save_roc(folder: Path, curve: RocCurve, *, auc: float) -> None:
    """Write the discriminator's receiver operating characteristic as roc.csv, and draw it as roc.png."""
    rates = [curve.false_positive_rate, curve.true_positive_rate]
    thinned = np.unique(np.linspace(0, len(rates[0]) - 1, ROC_POINTS).round().astype(int))
    rows = zip(*(rate[thinned].tolist() for rate in rates), strict=True)
    save_table(folder / "roc.csv", ["false_positive_rate", "true_positive_rate"], rows)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=f"discriminator (area {auc:.3f})")
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="chance (area 0.500)")
    _finish(axes, title="Held-out real against fake", x="fakes called real", y="real called real")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    _save(folder / "roc.png", figure)


def save_confusion(folder: Path, confusion: NDArray[np.int64] | None) -> None:
    """Write a matrix [asked, read] as confusion.csv, one line a sample as `dvc plots` counts, and draw confusion.png.

    None, of an unconditional model, gives a table without rows and a picture that says so.
    """
    counts = [] if confusion is None else list(np.ndenumerate(confusion))
    save_table(folder / "confusion.csv", ["asked", "read"], (pair for pair, count in counts for _ in range(count)))
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    if confusion is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "An unconditional model\nis asked for no digit", ha="center", va="center")
    else:
        _draw_confusion(axes, confusion)
    _save(folder / "confusion.png", figure)


def _draw_confusion(axes: Axes, confusion: NDArray[np.int64]) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (asked, read), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if shares[asked, read] > 0.5 else "black"
            axes.text(read, asked, str(count), ha="center", va="center", color=colour, fontsize=8)
    digits = range(len(shares))
    axes.set(xticks=digits, yticks=digits, title="Digit asked for against digit read", xlabel="read", ylabel="asked")


def _finish(axes: Axes, *, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _save(path: Path, figure: Figure) -> None:
    # Without the date and the library's version the same figures give the same bytes.
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110, metadata={"Software": None}))

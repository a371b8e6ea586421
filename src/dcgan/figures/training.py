"""Pictures of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dcgan.figures.drawing import finish, save_figure, save_table
from dcgan.tracking.history import read_history

CURVES = {
    "Losses": ["discriminator/loss", "generator/loss"],
    "Mean logits": ["discriminator/real_logits", "discriminator/fake_logits"],
    "Quick fcd of the samples": ["train/quick_fcd", "train/quick_fcd_floor"],
    "Images per second": ["train/images_per_second"],
}
LOGARITHMIC = {"Quick fcd of the samples"}


def save_history(folder: Path, history_path: Path) -> None:
    """Write a training's history as tables and draw it, one panel a kind.

    Leaves training.csv with the reports, judged.csv with the quick judgements, and training.png with both.
    """
    history = read_history(history_path)
    judged = [row for row in history if "train/quick_fcd" in row]
    _save_rows(folder / "judged.csv", judged)
    _save_rows(folder / "training.csv", [row for row in history if "train/quick_fcd" not in row])
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        for key in keys:
            points = [(row["step"], row[key]) for row in history if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=key, linewidth=1)
        if title in LOGARITHMIC and axes.lines:
            axes.set_yscale("log")
        finish(axes, title=title, x="step", y="")
        if len(keys) > 1:
            axes.legend(frameon=False)
    save_figure(folder / "training.png", figure)


def _save_rows(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows as a table; some quantities are measured in some rows only."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    save_table(path, columns, ([row.get(column, "") for column in columns] for row in rows))

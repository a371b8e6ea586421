"""Pictures of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dcgan.adapters.figures.drawing import finish, save_figure, save_table

CURVES = {
    "Losses": ["discriminator/loss", "generator/loss"],
    "Mean logits": ["discriminator/real_logits", "discriminator/fake_logits"],
    "R1 penalty": ["discriminator/r1"],
    "Images per second": ["train/images_per_second"],
}


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
        finish(axes, title=title, x="step", y="")
        if len(keys) > 1:
            axes.legend(frameon=False)
    save_figure(folder / "training.png", figure)

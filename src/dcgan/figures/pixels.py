"""The pixel statistics of samples beside those of real images, as a table to look at."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.transforms import Bbox

from dcgan.figures.drawing import new_figure, save_figure, save_table

Statistics = Mapping[str, float | None]
"""By name; None where nothing could be measured."""

PERCENT, PIXELS = (100, " %"), (1, " px")
"""What a number is multiplied with to be shown, and the unit that it then has."""
STATISTICS = {
    "zeros": ("pixels that are exactly 0: background", PERCENT),
    "haze": ("pixels from 1 to 4: haze", PERCENT),
    "near_saturated": ("pixels from 252 to 254: full ink", PERCENT),
    "saturated": ("pixels that are 255: saturated", PERCENT),
    "ink": ("mean pixel value, of 255", PERCENT),
    "longest_side": ("longer side of a digit, mean", PIXELS),
    "longest_side_20": ("digits whose longer side is 20 pixels", PERCENT),
    "center_row": ("centre of mass: row, mean", PIXELS),
    "center_column": ("centre of mass: column, mean", PIXELS),
    "center_spread": ("centre of mass: spread along an axis", PIXELS),
}
"""Every row in plain words and with its unit."""
COLUMNS = {"samples": "samples", "test": "test images", "train": "training images"}

LIMIT = 3
"""Samples may be so many times as far from the test images as the training images are."""
LEAST_DIFFERENCE = 0.01
"""The distance of the training images counts as this much at least, in the unit shown: by luck it can be almost 0."""


def save_pixel_statistics(folder: Path, statistics: Mapping[str, Statistics]) -> None:
    """Write pixels.csv and pixels.png: a statistic a row; of `samples`, `test` and `train` images a column."""
    rows = {name: [statistics[column][name] for column in COLUMNS] for name in STATISTICS}
    marked = {name: stands_out(*values, scale=STATISTICS[name][1][0]) for name, values in rows.items()}
    table = ([name, *values, int(marked[name])] for name, values in rows.items())
    save_table(folder / "pixels.csv", ["statistic", *COLUMNS, "stands_out"], table)
    figure, axes = new_figure(8.5, 4)
    axes.set_axis_off()
    axes.set_title(
        "Pixel statistics: samples beside real images\n"
        f"red: more than {LIMIT} times as far from the test images as the training images are",
        fontsize=10,
    )
    cells = axes.table(
        [[shown(value, *STATISTICS[name][1]) for value in values] for name, values in rows.items()],
        rowLabels=[words for words, _ in STATISTICS.values()],
        colLabels=list(COLUMNS.values()),
        rowLoc="left",
        bbox=Bbox.from_bounds(0.42, 0, 0.58, 1),
    )
    cells.auto_set_font_size(value=False)
    cells.set_fontsize(10)
    for cell in cells.get_celld().values():
        cell.visible_edges = "B"
        cell.set_edgecolor("lightgrey")
    for row in (row for row, name in enumerate(STATISTICS, start=1) if marked[name]):
        cells[row, 0].set_text_props(color="firebrick", weight="bold")
    save_figure(folder / "pixels.png", figure)


def stands_out(samples: float | None, test: float | None, train: float | None, *, scale: float = 1) -> bool:
    """Whether samples are further from the test images than `LIMIT` times the distance of the training images.

    Test and training images were drawn by different writers, so that real digits differ by that distance too.
    """
    if samples is None or test is None or train is None:
        return (samples is None) != (test is None)
    return scale * abs(samples - test) > LIMIT * max(scale * abs(train - test), LEAST_DIFFERENCE)


def shown(value: float | None, scale: float, unit: str) -> str:
    """A statistic with its unit, as one of STATISTICS has it."""
    return "–" if value is None else f"{scale * value:.2f}{unit}"

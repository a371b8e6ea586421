"""Pictures of what evaluation found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dcgan.data.dataset import LabelledImages
from dcgan.evaluation.discriminator import DiscriminatorFigures, ProbeFigures
from dcgan.evaluation.memorisation import MemorisationFigures, closest_pairs
from dcgan.evaluation.metrics.classes import label_accuracy_per_class
from dcgan.evaluation.metrics.binary import Reliability, RocCurve
from dcgan.evaluation.quality import Quality, digit_rows
from dcgan.evaluation.samples import INTERPOLATION_STEPS, Samples
from dcgan.figures.drawing import finish, save_figure, save_grid, save_table
from dcgan.gan.sampling import GRID_COLUMNS, image_grid

ROC_POINTS = 500
"""Points of a ROC curve kept in its table: a curve of 20,000 logits looks the same and loads at once."""


def save_quality(folder: Path, quality: Quality, *, interpolations: Samples, training: LabelledImages) -> list[Path]:
    """Write every picture and table of the samples; the pictures' paths.

    Args:
        folder: where they go.
        quality: the figures, and the samples of the first seed.
        interpolations: walks between latents, one a row.
        training: the training images.
    """
    samples = quality.samples.pixels
    save_grid(folder / "samples.png", image_grid(samples[: GRID_COLUMNS**2], columns=GRID_COLUMNS))
    save_grid(folder / "by_digit.png", image_grid(digit_rows(quality, columns=20), columns=20))
    save_grid(folder / "interpolations.png", image_grid(interpolations.pixels, columns=INTERPOLATION_STEPS))
    save_closest_pairs(folder, samples, training, quality.memorisation["pixels"])
    save_confusion(folder, quality.confusion)
    save_per_digit(folder, quality)
    names = ("samples", "by_digit", "interpolations", "closest_pairs", "confusion", "per_digit")
    return [folder / f"{name}.png" for name in names]


def save_discriminator(folder: Path, figures: DiscriminatorFigures) -> list[Path]:
    """Write every picture and table of the discriminator; the pictures' paths."""
    save_roc(folder, figures.roc, auc=figures.roc_auc)
    save_reliability(folder, figures.reliability, error=figures.calibration_error)
    save_probes(folder, figures.probes)
    return [folder / f"{name}.png" for name in ("roc", "reliability", "probes")]


def save_closest_pairs(folder: Path, samples: Tensor, training: LabelledImages, figures: MemorisationFigures) -> None:
    """Draw as closest_pairs.png the samples nearest to a training image of each digit, each above that image."""
    found = figures.samples
    pairs = closest_pairs(samples, training, found, per_digit=2)
    figure = Figure(figsize=(10, 1.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image_grid(pairs.transpose(0, 1).flatten(0, 1), columns=len(pairs)), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(
        f"The samples nearest to a training image of each digit, of {figures.num_queries:,}, each above that image\n"
        f"pixel distance: closest {found.distances.min():.2f}, median {found.median_distance:.2f};"
        f" of held-out images: closest {figures.held_out.distances.min():.2f},"
        f" median {figures.held_out.median_distance:.2f}",
        fontsize=9,
    )
    save_figure(folder / "closest_pairs.png", figure)


def save_per_digit(folder: Path, quality: Quality) -> None:
    """Write per_digit.csv and draw per_digit.png: fcd of each digit beside its floor, and how many are read right."""
    read = None if quality.confusion is None else label_accuracy_per_class(quality.confusion)
    columns = {"fcd": quality.fcd_per_digit, "fcd_floor": quality.fcd_floor_per_digit}
    columns |= {} if read is None else {"label_accuracy": read}
    digits = np.arange(len(quality.fcd_per_digit))
    rows = zip(digits.tolist(), *(values.tolist() for values in columns.values()), strict=True)
    save_table(folder / "per_digit.csv", ["digit", *columns], rows)
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(digits - 0.2, quality.fcd_per_digit, width=0.4, label="samples")
    axes.bar(digits + 0.2, quality.fcd_floor_per_digit, width=0.4, label="training images (floor)", color="lightgrey")
    x = "digit" if read is None else "digit, and share of its samples that are read as it"
    finish(axes, title="fcd of each digit against the test images", x=x, y="fcd")
    shares = [""] * len(digits) if read is None else [f"{share:.1%}" for share in read]
    axes.set_xticks(digits, [f"{digit}\n{share}" for digit, share in zip(digits, shares, strict=True)], fontsize=8)
    axes.legend(frameon=False)
    save_figure(folder / "per_digit.png", figure)


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
    finish(axes, title="Held-out real against fake", x="fakes called real", y="real called real")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    save_figure(folder / "roc.png", figure)


def save_reliability(folder: Path, curve: Reliability, *, error: float) -> None:
    """Write reliability.csv and draw reliability.png: probability of being real against the share that is."""
    save_table(folder / "reliability.csv", ["confidence", "share_real", "weight"], zip(*map(list, curve), strict=True))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="perfectly calibrated")
    axes.plot(curve.confidence, curve.share_real, linewidth=1)
    label = f"discriminator (error {error:.3f}; area: share of images)"
    axes.scatter(curve.confidence, curve.share_real, s=600 * curve.weight, label=label)
    finish(axes, title="How sure may the discriminator be?", x="probability of being real", y="share that is real")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right", markerscale=0.5, fontsize=8)
    save_figure(folder / "reliability.png", figure)


def save_probes(folder: Path, probes: Sequence[ProbeFigures]) -> None:
    """Write probes.csv and draw probes.png: digits read from features by a linear classifier, by number of labels."""
    views = {"discriminator": "discriminator", "untrained": "untrained discriminator", "pixels": "raw pixels"}
    rows = [[probe.num_labels, *(getattr(probe, view) for view in views)] for probe in probes]
    save_table(folder / "probes.csv", ["num_labels", *views], rows)
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for offset, (view, label) in zip((-0.27, 0, 0.27), views.items(), strict=True):
        places = np.arange(len(probes)) + offset
        bars = axes.bar(places, [getattr(probe, view) for probe in probes], width=0.26, label=label)
        axes.bar_label(bars, fmt=lambda share: f"{share:.1%}", fontsize=7)
    finish(axes, title="Digits that a linear classifier reads from features", x="", y="accuracy on test images")
    axes.set_xticks(range(len(probes)), [f"{probe.num_labels:,} labels" for probe in probes])
    axes.set_ylim(0, 1.25)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper center")
    save_figure(folder / "probes.png", figure)


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
    save_figure(folder / "confusion.png", figure)


def _draw_confusion(axes: Axes, confusion: NDArray[np.int64]) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (asked, read), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if shares[asked, read] > 0.5 else "black"
            axes.text(read, asked, str(count), ha="center", va="center", color=colour, fontsize=8)
    digits = range(len(shares))
    axes.set(xticks=digits, yticks=digits, title="Digit asked for against digit read", xlabel="read", ylabel="asked")

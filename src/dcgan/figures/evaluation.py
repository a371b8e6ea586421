"""Pictures and tables of an evaluation."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.dataset import LabelledImages
from dcgan.evaluation.discriminator import DiscriminatorQuality
from dcgan.evaluation.metrics.authenticity import TrainingNeighbours
from dcgan.evaluation.metrics.binary import Reliability
from dcgan.evaluation.quality import Quality
from dcgan.evaluation.samples import INTERPOLATION_STEPS
from dcgan.evaluation.two_sample import TwoSampleTest
from dcgan.figures.drawing import label_axes, new_figure, save_figure, save_grid, save_table
from dcgan.figures.pixels import save_pixel_statistics
from dcgan.gan.sampling import GRID_COLUMNS, image_grid

ROC_POINTS = 500
"""Points of a ROC curve in its table: 20,000 logits would look the same and load slowly."""
SUREST_COLUMNS = 20
PROBED = {"discriminator": "discriminator", "untrained": "untrained discriminator", "pixels": "raw pixels"}


def save_evaluation(
    folder: Path, quality: Quality, discriminator: DiscriminatorQuality, *, training: LabelledImages
) -> None:
    """Write every picture and table of an evaluation; what was in the folder is deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    samples = quality.samples.pixels
    save_grid(folder / "samples.png", image_grid(samples[: GRID_COLUMNS**2], columns=GRID_COLUMNS))
    save_grid(folder / "by_digit.png", image_grid(ranked_by_class(quality, columns=20), columns=20))
    save_grid(folder / "interpolations.png", image_grid(quality.interpolations.pixels, columns=INTERPOLATION_STEPS))
    _save_closest_pairs(folder, quality, training)
    _save_two_sample(folder, quality.two_sample, floor=quality.report["two_sample_accuracy_floor"])
    save_pixel_statistics(folder, quality.report["pixels"])
    if len(quality.class_names) > 1:
        _save_per_digit(folder, quality.report, names=quality.class_names)
    _save_confusion(folder, quality.confusion, names=quality.class_names)
    _save_roc(folder, discriminator)
    _save_calibration(folder, discriminator.reliability)
    if discriminator.report["probes"]:
        _save_probes(folder, discriminator.report["probes"])


def ranked_by_class(quality: Quality, *, columns: int) -> Tensor:
    """Rows of samples, one a class, from the highest to the lowest probability of that digit.

    Uint8 [C * columns, 28, 28], at equal steps through the ranking; black for a class that does not occur.
    """
    logits = quality.predictions.logits
    digits = logits.argmax(dim=1) if quality.samples.labels is None else quality.samples.labels
    probability = logits.log_softmax(dim=1).gather(1, digits.unsqueeze(1)).squeeze(1)
    rows = torch.zeros((logits.shape[1], columns, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
    for digit in torch.unique(digits).tolist():
        members = (digits == digit).nonzero().squeeze(1)
        ranked = members[probability[members].argsort(descending=True)]
        rows[digit] = quality.samples.pixels[ranked[torch.linspace(0, len(members) - 1, columns).long()]]
    return rows.flatten(0, 1)


def closest_pairs(
    samples: Tensor, training: LabelledImages, neighbours: TrainingNeighbours, *, per_digit: int
) -> Tensor:
    """For each digit, the samples nearest to a training image of it, each with that image: uint8 [count, 2, 28, 28].

    Over all digits the nearest would all be ones, which vary least.
    """
    order = neighbours.distances.argsort()
    digits = training.labels[neighbours.indices[order]]
    closest = torch.cat([order[digits == digit][:per_digit] for digit in range(int(training.labels.max()) + 1)])
    return torch.stack([samples[closest], training.images[neighbours.indices[closest]]], dim=1)


def _save_closest_pairs(folder: Path, quality: Quality, training: LabelledImages) -> None:
    found, held_out = quality.neighbours["pixels"]
    pairs = closest_pairs(quality.samples.pixels, training, found, per_digit=2)
    figure, axes = new_figure(10, 1.7)
    axes.imshow(image_grid(pairs.transpose(0, 1).flatten(0, 1), columns=len(pairs)), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(
        f"Samples (above) nearest to a training image (below), of {len(found.distances):,} samples\n"
        f"pixel distance: least {found.distances.min():.2f}, median {found.median_distance:.2f};"
        f" of test images: least {held_out.distances.min():.2f}, median {held_out.median_distance:.2f}",
        fontsize=9,
    )
    save_figure(folder / "closest_pairs.png", figure)


def _save_two_sample(folder: Path, test: TwoSampleTest, *, floor: float) -> None:
    figure = Figure(figsize=(10, 3), layout="constrained")
    titles = ("test images that look most real", "samples that look most generated")
    for axes, title, pixels in zip(figure.subplots(2, 1), titles, test.surest(2 * SUREST_COLUMNS), strict=True):
        axes.imshow(image_grid(pixels, columns=SUREST_COLUMNS), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        axes.set_title(title, fontsize=9)
    figure.suptitle(
        f"Two-sample test: a fresh network tells {test.accuracy:.1%} of test images and samples right"
        f" (real images alone: {floor:.1%}; chance: 50 %)",
        fontsize=10,
    )
    save_figure(folder / "two_sample.png", figure)


def _save_per_digit(folder: Path, report: Mapping[str, Any], *, names: Sequence[str]) -> None:
    digits, accuracies = np.arange(len(names)), report["label_accuracy_per_class"]
    figure = Figure(figsize=(max(8, 0.5 * len(names)), 5), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    for axes, name, what in zip(rows, ("fcd", "recall"), ("nearness", "variety"), strict=True):
        values, floor = (np.array(report[f"{name}_per_class{end}"], float) for end in ("", "_floor"))
        axes.bar(digits - 0.2, values, width=0.4, label="samples")
        axes.bar(digits + 0.2, floor, width=0.4, label="training images", color="lightgrey")
        label_axes(axes, title=f"{name} of each digit against its test images ({what})", x="", y=name)
    rows[0].set_yscale("log")
    rows[0].margins(y=0.25)
    rows[0].legend(frameon=False, ncols=2, loc="upper center")
    rows[1].set_xlabel("digit, and label accuracy of its samples" if accuracies else "digit")
    below = [f"\n{accuracy:.1%}" for accuracy in accuracies] if accuracies else [""] * len(names)
    rows[1].set_xticks(digits, [f"{name}{text}" for name, text in zip(names, below, strict=True)], fontsize=8)
    save_figure(folder / "per_digit.png", figure)


def _save_roc(folder: Path, quality: DiscriminatorQuality) -> None:
    thinned = np.unique(np.linspace(0, len(quality.roc) - 1, ROC_POINTS).round().astype(int))
    save_table(folder / "roc.csv", ["false_positive_rate", "true_positive_rate"], quality.roc[thinned].tolist())
    figure, axes = new_figure(5, 5)
    axes.plot(*quality.roc.T, label=f"discriminator (area {quality.report['roc_auc']:.3f})")
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="chance (area 0.500)")
    label_axes(axes, title="ROC: test images against samples", x="false positive rate", y="true positive rate")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    save_figure(folder / "roc.png", figure)


def _save_calibration(folder: Path, curve: Reliability | None) -> None:
    """calibration.csv without rows, and no picture, where logits are no probabilities: dvc.yaml names the table."""
    rows = zip(curve.confidence.tolist(), curve.share_real.tolist(), strict=True) if curve else []
    save_table(folder / "calibration.csv", ["confidence", "share_real"], rows)
    if curve is None:
        return
    figure, axes = new_figure(5, 5)
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    axes.plot(curve.confidence, curve.share_real, linewidth=1)
    axes.scatter(curve.confidence, curve.share_real, s=600 * curve.weight)
    title = f"Calibration (expected error {curve.error:.3f})\nsize of a dot: share of images; dashed: perfect"
    label_axes(axes, title=title, x="predicted probability of being real", y="share of real images")
    axes.set_aspect("equal")
    save_figure(folder / "calibration.png", figure)


def _save_probes(folder: Path, probes: Mapping[str, Mapping[str, float]]) -> None:
    figure, axes = new_figure(7, 3.5)
    for offset, (name, label) in zip((-0.27, 0, 0.27), PROBED.items(), strict=True):
        heights = [accuracies[name] for accuracies in probes.values()]
        bars = axes.bar(np.arange(len(probes)) + offset, heights, width=0.26, label=label)
        axes.bar_label(bars, fmt=lambda share: f"{share:.1%}", fontsize=7)
    label_axes(axes, title="Linear probes of features", x="", y="test accuracy")
    axes.set_xticks(range(len(probes)), [f"{int(num_labels):,} labels" for num_labels in probes])
    axes.set_ylim(0, 1.25)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.legend(frameon=False, ncols=3, fontsize=8, loc="upper center")
    save_figure(folder / "probes.png", figure)


def _save_confusion(folder: Path, confusion: NDArray[np.int64] | None, *, names: Sequence[str]) -> None:
    """A line of confusion.csv for each sample, as `dvc plots show` needs it; without labels, no line and no picture."""
    counts: Sequence[tuple[tuple[int, ...], Any]] = [] if confusion is None else list(np.ndenumerate(confusion))
    save_table(folder / "confusion.csv", ["label", "predicted"], (pair for pair, count in counts for _ in range(count)))
    if confusion is None:
        return
    side = max(6, 0.4 * len(names))
    figure, axes = new_figure(side, side)
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (label, predicted), count in counts:
        if count:
            colour = "white" if shares[label, predicted] > 0.5 else "black"
            axes.text(predicted, label, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="Confusion matrix", xlabel="predicted digit", ylabel="label")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    save_figure(folder / "confusion.png", figure)

"""Every figure by the name that it has in reports and in MLflow, in plain Python types.

A figure `x` stands beside `x_floor`, what real images score, and beside `x_spread`, the largest less the smallest,
where it is the mean of several sampling seeds. Floors are of as many training images as there are samples, or of
the test images where the figure needs no reference.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dcgan.config.schema import EvaluateConfig
from dcgan.data.dataset import Dataset
from dcgan.evaluation.discriminator import DiscriminatorFigures
from dcgan.evaluation.evaluator import mean_of, spread_of
from dcgan.evaluation.memorisation import MemorisationFigures
from dcgan.evaluation.metrics.classes import label_accuracy_per_class
from dcgan.evaluation.quality import Quality

HEADLINES = ("fcd", "kcd", "precision", "recall", "coverage", "label_accuracy", "train_on_fake", "authenticity")
"""The figures that a table of runs shows."""


def describe(
    quality: Quality,
    dataset: Dataset,
    config: EvaluateConfig,
    *,
    classifier_sha256: str,
    fid: tuple[float, float] | None = None,
    discriminator: DiscriminatorFigures | None = None,
    collapse: str | None = None,
) -> dict[str, Any]:
    """The whole report: what the figures are relative to, those of the samples, those of the discriminator.

    `fid` comes with its floor; `collapse` is how the game stood if one player had lost it when training ended.
    """
    origin = {
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "classifier_sha256": classifier_sha256,
        "num_test_images": len(dataset.test),
        "seed": config.seed,
    }
    judged = {} if discriminator is None else {"discriminator": describe_discriminator(discriminator)}
    of_samples, of_training_images = fid or (None, None)
    inception = {"fid": of_samples, "fid_floor": of_training_images}
    return origin | describe_quality(quality) | inception | judged | {"collapse": collapse}


def describe_quality(quality: Quality) -> dict[str, Any]:
    """All figures of the samples, and how many images each was measured on."""
    floor, spread = mean_of([quality.floor]), spread_of(quality.scores)
    report: dict[str, Any] = {"num_samples": len(quality.samples), "num_seeds": len(quality.scores)}
    for name, value in mean_of(quality.scores).items():
        report |= {name: value, f"{name}_floor": floor[name], f"{name}_spread": spread[name]}
    report["fcd_over_floor"] = report["fcd"] / report["fcd_floor"]
    confusion = quality.confusion
    report["class_shares"] = quality.class_shares.tolist()
    report["min_class_share"] = float(quality.class_shares.min())
    report["fcd_per_digit"] = _finite(quality.fcd_per_digit.tolist())
    report["fcd_floor_per_digit"] = _finite(quality.fcd_floor_per_digit.tolist())
    report["label_accuracy_per_class"] = (
        None if confusion is None else _finite(label_accuracy_per_class(confusion).tolist())
    )
    in_features = quality.memorisation["features"]
    report["authenticity"] = in_features.samples.authenticity
    report["authenticity_floor"] = in_features.held_out.authenticity
    report["memorisation"] = {space: _describe_memorisation(each) for space, each in quality.memorisation.items()}
    useful = quality.usefulness
    report["train_on_fake"] = None if useful is None else useful.train_on_fake
    report["train_on_fake_floor"] = None if useful is None else useful.train_on_real
    report["num_train_on_fake"] = None if useful is None else useful.num_images
    return report


def describe_discriminator(figures: DiscriminatorFigures) -> dict[str, Any]:
    """All figures of the discriminator."""
    return {
        "accuracy": figures.accuracy,
        "roc_auc": figures.roc_auc,
        "calibration_error": figures.calibration_error,
        "brier_score": figures.brier_score,
        "train_real_logits": figures.train_real_logits,
        "test_real_logits": figures.test_real_logits,
        "fake_logits": figures.fake_logits,
        "overfitting_gap": figures.overfitting_gap,
        "probes": {
            str(probe.num_labels): {
                "discriminator": probe.discriminator,
                "untrained": probe.untrained,
                "pixels": probe.pixels,
            }
            for probe in figures.probes
        },
    }


def headlines(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The few figures that a table shows: those of the `samples`, and the same ones of `real_images`, the floor."""
    known = [name for name in HEADLINES if report[name] is not None]
    count = {"num_samples": report["num_samples"]}
    return {
        "samples": count | {name: report[name] for name in known},
        "real_images": count | {name: report[f"{name}_floor"] for name in known},
    }


def headline(report: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    seeds = report["num_seeds"]
    spread = f" (spread {report['fcd_spread']:.3f} over {seeds} sampling seeds)" if seeds > 1 else ""
    return (
        f"fcd {report['fcd']:.3f}{spread}, {report['fcd_over_floor']:.2f} times its floor {report['fcd_floor']:.3f},"
        f" on {report['num_samples']:,} samples a seed"
    )


def _describe_memorisation(figures: MemorisationFigures) -> dict[str, Any]:
    return {
        "num_queries": figures.num_queries,
        "authenticity": figures.samples.authenticity,
        "authenticity_floor": figures.held_out.authenticity,
        "median_distance": figures.samples.median_distance,
        "median_distance_floor": figures.held_out.median_distance,
    }


def _finite(values: Sequence[float]) -> list[float | None]:
    """JSON knows no NaN: what could not be measured is null."""
    return [value if math.isfinite(value) else None for value in values]

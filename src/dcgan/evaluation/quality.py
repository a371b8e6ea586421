"""Every measurement of a generator's samples, in one report."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcgan.classifier.network import Classifier, Predictions
from dcgan.config.schema import ClassifierConfig, EvaluateConfig
from dcgan.data.dataset import Dataset
from dcgan.evaluation.evaluator import Evaluator, digits_of, summarise
from dcgan.evaluation.inception import load_inception, measure_fid
from dcgan.evaluation.metrics.authenticity import TrainingNeighbours, training_neighbours
from dcgan.evaluation.metrics.classes import class_shares
from dcgan.evaluation.metrics.pixels import pixel_statistics
from dcgan.evaluation.report import print_progress
from dcgan.evaluation.samples import Sampler, Samples, generate_samples, sample_interpolations, shuffled
from dcgan.evaluation.train_on_fake import train_on_fake
from dcgan.evaluation.two_sample import TwoSampleTest, compare_real_images, compare_samples
from dcgan.evaluation.witness import Witness

Neighbours = dict[str, tuple[TrainingNeighbours, TrainingNeighbours]]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The report on a generator, and what the figures need besides, of the first sampling seed."""

    report: dict[str, Any]
    """Every metric by its name in reports/evaluation.json (docs/metrics.md), in plain Python types."""
    samples: Samples
    interpolations: Samples
    """Between two latents each, one a row."""
    predictions: Predictions
    """The classifier's, for the samples."""
    confusion: NDArray[np.int64] | None
    """Label against predicted digit, [C, C]; None for an unconditional model."""
    class_names: tuple[str, ...]
    """In the order of their labels."""
    neighbours: Neighbours
    """Training images nearest to samples and to as many test images, in `pixels` and in `features`."""
    two_sample: TwoSampleTest
    """The test of the samples against the test images."""


def measure_quality(
    sampler: Sampler,
    dataset: Dataset,
    config: EvaluateConfig,
    *,
    classifier: Classifier,
    witness: Classifier,
    classifier_config: ClassifierConfig,
) -> Quality:
    """Generate samples and measure them; stderr names each part that begins.

    Neither generator nor classifiers have learnt from the test split. The features of `classifier` are compared, those
    of `witness` for `witness_fcd` alone; its device computes. `classifier_config` says how another one learns from
    samples.

    Raises:
        BadDataError: all samples are the same image, something is not finite, or the Inception weights are unusable.
        DivergedError: the network of the two-sample test diverges.
        UsageError: the training set has fewer images than samples are asked for.
    """
    device, weights = next(classifier.parameters()).device, config.inception_weights
    inception = load_inception(Path(weights), device=device) if weights else None
    print_progress("real images")
    evaluator = Evaluator(classifier, dataset, num_samples=config.num_samples, seed=config.seed)
    sets = []
    for seed in range(config.seed, config.seed + config.num_seeds):
        print_progress(f"samples of seed {seed}")
        samples = generate_samples(sampler, count=config.num_samples, seed=seed)
        sets.append((samples, evaluator.predict(samples.pixels)))
    samples, predictions = sets[0]
    print_progress("scores")
    report: dict[str, Any] = {
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "class_names": list(dataset.class_names),
        "num_test_images": len(dataset.test),
        "seed": config.seed,
        "num_samples": config.num_samples,
        "num_seeds": config.num_seeds,
    }
    report |= summarise([evaluator.score(*each) for each in sets], evaluator.floor)
    confusion = _confusion(samples, predictions, num_classes=dataset.num_classes)
    report |= _per_class(evaluator, samples, predictions, confusion)
    print_progress("witness")
    measured = Witness(witness, dataset, chosen=evaluator.chosen).scores(samples.pixels)
    report |= dict(zip(measured, _finite(measured.values()), strict=True))
    print_progress("two-sample test of the samples")
    two_sample = compare_samples(sampler, samples, dataset, config, device=device)
    print_progress("two-sample test of real images")
    report |= _two_sample(two_sample, compare_real_images(dataset, config, device=device))
    print_progress("nearest training images")
    neighbours = _training_neighbours(evaluator, samples, predictions, dataset, config)
    report |= _memorisation(neighbours)
    real = {"test": dataset.test.images, "train": dataset.train.images[evaluator.chosen]}
    report |= _pixels({"samples": samples.pixels, **real})
    print_progress("classifiers trained on samples and on real images")
    num_images = config.num_train_on_fake
    report |= train_on_fake(sampler, dataset, classifier_config, num_images=num_images, seed=config.seed, device=device)
    if inception:
        print_progress("Inception features")
    report |= measure_fid(inception, samples.pixels, **real)
    return Quality(
        report=report,
        samples=samples,
        interpolations=sample_interpolations(sampler, seed=config.seed),
        predictions=predictions,
        confusion=confusion,
        class_names=dataset.class_names,
        neighbours=neighbours,
        two_sample=two_sample,
    )


def _two_sample(found: TwoSampleTest, floor: TwoSampleTest) -> dict[str, float | int]:
    return {
        "two_sample_accuracy": found.accuracy,
        "two_sample_accuracy_floor": floor.accuracy,
        "two_sample_auc": found.auc,
        "two_sample_auc_floor": floor.auc,
        "num_two_sample": found.num_learnt,
    }


def _confusion(samples: Samples, predictions: Predictions, *, num_classes: int) -> NDArray[np.int64] | None:
    from sklearn.metrics import confusion_matrix

    if samples.labels is None:
        return None
    labels, predicted = samples.labels.numpy(), digits_of(predictions)
    matrix: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=range(num_classes))
    return matrix


def _per_class(
    evaluator: Evaluator, samples: Samples, predictions: Predictions, confusion: NDArray[np.int64] | None
) -> dict[str, Any]:
    figures, predicted = evaluator.per_class(samples, predictions), digits_of(predictions)
    shares = class_shares(predicted, len(figures["fcd"]))
    accuracies = None if confusion is None else (np.diagonal(confusion) / confusion.sum(axis=1)).tolist()
    return {
        "class_shares": shares.tolist(),
        "min_class_share": float(shares.min()),
        **{f"{name}_per_class": _listed(values) for name, values in figures.items()},
        **{f"{name}_per_class_floor": _listed(values) for name, values in evaluator.per_class_floor.items()},
        "label_accuracy_per_class": accuracies,
    }


def _listed(values: NDArray[np.float64]) -> list[float | None] | None:
    """A value a class; None where there is one class, since it is that of all images."""
    return _finite(values) if len(values) > 1 else None


def _training_neighbours(
    evaluator: Evaluator, samples: Samples, predictions: Predictions, dataset: Dataset, config: EvaluateConfig
) -> Neighbours:
    # MNIST's test images are in order: the first half is neater than the second.
    held_out = shuffled(len(dataset.test), seed=config.seed, purpose="held out")
    count = min(config.num_neighbour_queries, len(samples), len(held_out))
    pixels = [images.flatten(1).float() / 255 for images in (samples.pixels, dataset.test.images, dataset.train.images)]
    features = [predictions.features, evaluator.test.features, evaluator.train.features]
    return {
        space: (training_neighbours(generated[:count], train), training_neighbours(test[held_out[:count]], train))
        for space, (generated, test, train) in {"pixels": pixels, "features": features}.items()
    }


def _memorisation(neighbours: Neighbours) -> dict[str, Any]:
    spaces = {
        space: {
            "num_queries": len(samples.distances),
            "authenticity": samples.authenticity,
            "authenticity_floor": held_out.authenticity,
            "median_distance": samples.median_distance,
            "median_distance_floor": held_out.median_distance,
        }
        for space, (samples, held_out) in neighbours.items()
    }
    headlines = {name: spaces["features"][name] for name in ("authenticity", "authenticity_floor")}
    return {**headlines, "memorisation": spaces}


def _pixels(sets: Mapping[str, Tensor]) -> dict[str, Any]:
    found = {name: pixel_statistics(images) for name, images in sets.items()}
    return {"pixels": {name: dict(zip(each, _finite(each.values()), strict=True)) for name, each in found.items()}}


def _finite(values: Iterable[float]) -> list[float | None]:
    """JSON has no NaN: what could not be measured is null."""
    return [float(value) if math.isfinite(value) else None for value in values]

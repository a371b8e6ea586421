"""Scores of samples on the features of the digit classifier, and the same scores of real images: the floor."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcgan.classifier.frechet import FeatureStatistics, feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, Predictions, classify_pixels
from dcgan.data.dataset import Dataset
from dcgan.evaluation.metrics.classes import class_divergence, class_shares, classifier_score
from dcgan.evaluation.metrics.kernel import kernel_distance
from dcgan.evaluation.metrics.manifold import MIN_MANIFOLD, compare_manifolds, manifold_of
from dcgan.evaluation.samples import Samples, shuffled
from dcgan.system.errors import BadDataError, UsageError

Digits = NDArray[np.int64]

ROUNDING = 1e-9
"""A Fréchet distance below this share of the features' variance is that of two equal sets."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one set of images against the test images."""

    fcd: float
    """Fréchet classifier distance."""
    kcd: float
    """Kernel classifier distance."""
    precision: float
    recall: float
    density: float
    coverage: float
    classifier_score: float
    class_divergence: float
    """KL divergence of the shares of the predicted digits from equal shares, in nats."""
    label_accuracy: float | None
    """Share of samples that are predicted as their label; None for an unconditional model."""


class Evaluator:
    """The classifier, its predictions for the real images, and the floor of every score."""

    def __init__(self, classifier: Classifier, dataset: Dataset, *, num_samples: int, seed: int) -> None:
        """Classify the data set and measure the floor, on as many training images, chosen by `seed`, as samples.

        Raises:
            BadDataError: the classifier's features are not finite, or equal for both splits.
            UsageError: there are fewer training images than samples, so that the floor would not be comparable.
        """
        if num_samples > len(dataset.train):
            raise UsageError(
                f"evaluate.num_samples: {num_samples:,} samples are more than the {len(dataset.train):,} training"
                " images, and the floor is measured on as many images as samples; lower it"
            )
        self._classifier, self._num_classes = classifier, dataset.num_classes
        self.test, self.train = self.predict(dataset.test.images), self.predict(dataset.train.images)
        self._test_digits = dataset.test.labels.numpy()
        self.chosen = shuffled(len(dataset.train), seed=seed, purpose="floor")[:num_samples]
        """Indices of the training images of the floor."""
        self._statistics, self._manifold = feature_statistics(self.test.features), manifold_of(self.test.features)
        real = Samples(pixels=dataset.train.images[self.chosen], labels=dataset.train.labels[self.chosen])
        predictions = Predictions(*(part[self.chosen] for part in self.train))
        self.floor = self._floor(self.score(real, predictions))
        self.per_class_floor = self.per_class(real, predictions)
        """As `per_class`, of training images."""

    def predict(self, pixels: Tensor) -> Predictions:
        """The classifier's features and logits of pixels uint8 [N, 28, 28]; BadDataError if some are not finite."""
        return classify_pixels(self._classifier, pixels)

    def score(self, samples: Samples, predictions: Predictions) -> Scores:
        """The scores of samples with the classifier's predictions for them."""
        return Scores(
            fcd=frechet_distance(feature_statistics(predictions.features), self._statistics),
            kcd=kernel_distance(predictions.features, self.test.features),
            classifier_score=classifier_score(predictions.logits),
            class_divergence=class_divergence(class_shares(digits_of(predictions), self._num_classes)),
            label_accuracy=None if samples.labels is None else _accuracy(samples.labels.numpy(), predictions),
            **dataclasses.asdict(compare_manifolds(self._manifold, manifold_of(predictions.features))),
        )

    def per_class(self, samples: Samples, predictions: Predictions) -> dict[str, NDArray[np.float64]]:
        """`fcd` and `recall` of the samples of each digit against its test images, float64 [C] each.

        The digit of a sample is its label, or the predicted one if it has none. NaN where there are fewer than six of
        either.
        """
        digits = digits_of(predictions) if samples.labels is None else samples.labels.numpy()
        figures = {name: np.full(self._num_classes, np.nan) for name in ("fcd", "recall")}
        for digit in range(self._num_classes):
            generated = predictions.features[digits == digit]
            real = self.test.features[self._test_digits == digit]
            if min(len(generated), len(real)) >= MIN_MANIFOLD:
                figures["fcd"][digit] = frechet_distance(feature_statistics(generated), feature_statistics(real))
                figures["recall"][digit] = compare_manifolds(manifold_of(real), manifold_of(generated)).recall
        return figures

    def _floor(self, of_train: Scores) -> Scores:
        """The scores of training images; scores without a reference are of the test images, which are held out."""
        if is_rounding(of_train.fcd, self._statistics):
            raise BadDataError("training and test images have the same features: nothing can be measured against them")
        return dataclasses.replace(
            of_train,
            classifier_score=classifier_score(self.test.logits),
            class_divergence=class_divergence(class_shares(digits_of(self.test), self._num_classes)),
            label_accuracy=_accuracy(self._test_digits, self.test),
        )


def is_rounding(distance: float, reference: FeatureStatistics) -> bool:
    """Whether a Fréchet distance to the reference is that of two equal sets."""
    return bool(distance <= ROUNDING * np.trace(reference.covariance))


def summarise(scores: Sequence[Scores], floor: Scores) -> dict[str, float | None]:
    """The scores of several sampling seeds as `x`, their mean, `x_spread`, their range, and `x_floor`.

    The spread is None for a single seed. `fcd_over_floor` is the ratio of the two.
    """
    summary: dict[str, float | None] = {}
    for name in (field.name for field in dataclasses.fields(Scores)):
        values = [getattr(each, name) for each in scores]
        is_known = None not in values
        summary[name] = float(np.mean(values)) if is_known else None
        summary[f"{name}_floor"] = getattr(floor, name)
        summary[f"{name}_spread"] = float(np.ptp(values)) if is_known and len(values) > 1 else None
    return summary | {"fcd_over_floor": float(np.mean([each.fcd for each in scores])) / floor.fcd}


def digits_of(predictions: Predictions) -> Digits:
    """The predicted digits, int64 [N]."""
    digits: Digits = predictions.logits.argmax(dim=1).numpy()
    return digits


def _accuracy(labels: Digits, predictions: Predictions) -> float:
    return float((labels == digits_of(predictions)).mean())

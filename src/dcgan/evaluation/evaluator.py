"""The digit classifier as the evaluator of samples: every figure beside the same figure of real images."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, Predictions, classify_pixels
from dcgan.config.schema import NUM_CLASSES
from dcgan.data.dataset import Dataset
from dcgan.evaluation.metrics.classes import (
    class_divergence,
    class_shares,
    classifier_score,
    confusion_matrix,
    label_accuracy,
)
from dcgan.evaluation.metrics.kernel import kernel_distance
from dcgan.evaluation.metrics.manifold import compare_manifolds, manifold_of
from dcgan.evaluation.samples import Samples, shuffled
from dcgan.system.errors import BadDataError, UsageError

Digits = NDArray[np.int64]

ROUNDING = 1e-9
"""A Fréchet distance below this share of the features' variance is that of two equal sets."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The headline figures of one set of images, against the test images."""

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
    """Of the shares of the digits read from equal shares, in nats."""
    label_accuracy: float | None
    """Share read as the digit asked for; None for an unconditional model."""


class Evaluator:
    """The classifier with what it reads in the real images, and their own scores: the floor."""

    def __init__(self, classifier: Classifier, dataset: Dataset, *, num_samples: int, seed: int) -> None:
        """Read the data set.

        Args:
            classifier: in evaluation mode; its device does the work.
            dataset: both splits are used.
            num_samples: how many samples will be judged; the floor is measured on as many training images.
            seed: of the choice of training images.

        Raises:
            BadDataError: the classifier's features are not finite, or tell nothing.
            UsageError: there are fewer training images than samples, so that the floor would not be comparable.
        """
        if num_samples > len(dataset.train):
            raise UsageError(
                f"evaluate.num_samples: {num_samples} is more than the {len(dataset.train)} training images,"
                " which the floor needs as many of"
            )
        self._classifier = classifier
        self.test, self.train = self.predict(dataset.test.images), self.predict(dataset.train.images)
        self.test_digits, self.train_digits = dataset.test.labels.numpy(), dataset.train.labels.numpy()
        self.chosen = shuffled(len(dataset.train), seed=seed, purpose="floor")[:num_samples]
        self._statistics, self._manifold = feature_statistics(self.test.features), manifold_of(self.test.features)
        self.floor = self._floor()

    def predict(self, pixels: Tensor) -> Predictions:
        """What the classifier makes of pixels uint8 [N, 28, 28].

        Raises:
            BadDataError: it is not finite.
        """
        return classify_pixels(self._classifier, pixels)

    def score(self, samples: Samples, predictions: Predictions) -> Scores:
        """The scores of samples, of which the classifier made `predictions`."""
        return self._scores(predictions, confusion_of(samples, predictions))

    def fcd_per_digit(self, samples: Samples, predictions: Predictions) -> NDArray[np.float64]:
        """The fcd between the samples of each digit (as asked for, else as read) and the test images, float64 [10].

        Not a number for a digit with fewer than two images of either.
        """
        asked = digits_of(predictions) if samples.labels is None else samples.labels.numpy()
        return self._fcd_per_digit(predictions.features, asked)

    def fcd_floor_per_digit(self) -> NDArray[np.float64]:
        """The same between training and test images, float64 [10]."""
        return self._fcd_per_digit(self.train.features[self.chosen], self.train_digits[self.chosen.numpy()])

    def _floor(self) -> Scores:
        """The scores of real images: training images stand for a perfect generator.

        What needs no reference is taken from the test images, by which the classifier has not learnt.
        """
        of_train = self._scores(Predictions(*(part[self.chosen] for part in self.train)), confusion=None)
        if of_train.fcd <= ROUNDING * np.trace(self._statistics.covariance):
            raise BadDataError("training and test images have the same features: nothing can be measured against them")
        return dataclasses.replace(
            of_train,
            classifier_score=classifier_score(self.test.logits),
            class_divergence=class_divergence(class_shares(digits_of(self.test))),
            label_accuracy=label_accuracy(confusion_matrix(self.test_digits, digits_of(self.test))),
        )

    def _scores(self, predictions: Predictions, confusion: NDArray[np.int64] | None) -> Scores:
        return Scores(
            fcd=frechet_distance(feature_statistics(predictions.features), self._statistics),
            kcd=kernel_distance(predictions.features, self.test.features),
            classifier_score=classifier_score(predictions.logits),
            class_divergence=class_divergence(class_shares(digits_of(predictions))),
            label_accuracy=None if confusion is None else label_accuracy(confusion),
            **dataclasses.asdict(compare_manifolds(self._manifold, manifold_of(predictions.features))),
        )

    def _fcd_per_digit(self, features: Tensor, digits: Digits) -> NDArray[np.float64]:
        distances = np.full(NUM_CLASSES, np.nan)
        for digit in range(NUM_CLASSES):
            mine, reference = features[digits == digit], self.test.features[self.test_digits == digit]
            if min(len(mine), len(reference)) > 1:
                distances[digit] = frechet_distance(feature_statistics(mine), feature_statistics(reference))
        return distances


def mean_of(scores: Sequence[Scores]) -> dict[str, float | None]:
    """The mean of every score over several sets of samples."""
    return {name: None if None in values else float(np.mean(values)) for name, values in _columns(scores).items()}


def spread_of(scores: Sequence[Scores]) -> dict[str, float | None]:
    """The largest less the smallest of every score over several sets of samples; None of a single set."""
    columns = _columns(scores)
    return {
        name: None if None in values or len(values) < 2 else float(np.ptp(values)) for name, values in columns.items()
    }


def digits_of(predictions: Predictions) -> Digits:
    """The digits read, [N]."""
    digits: Digits = predictions.logits.argmax(dim=1).numpy()
    return digits


def confusion_of(samples: Samples, predictions: Predictions) -> NDArray[np.int64] | None:
    """Digits asked for against digits read, [10, 10]; None for an unconditional model."""
    return None if samples.labels is None else confusion_matrix(samples.labels.numpy(), digits_of(predictions))


def _columns(scores: Sequence[Scores]) -> dict[str, list[float]]:
    return {field.name: [getattr(each, field.name) for each in scores] for field in dataclasses.fields(Scores)}

"""Fréchet distances on the features of the witness, a second classifier of another architecture."""

import math

from torch import Tensor

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, classify_pixels
from dcgan.data.dataset import Dataset
from dcgan.evaluation.evaluator import is_rounding
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError


class Witness:
    """The second classifier, with the statistics of the test images and the floor."""

    def __init__(self, network: Classifier, dataset: Dataset, *, chosen: Tensor) -> None:
        """Classify the real images.

        Args:
            network: the witness; it has not learnt from the test images.
            dataset: the real images.
            chosen: int64 [N], indices of the training images that the floor is measured on.

        Raises:
            BadDataError: it has the same features for all images, or some are not finite.
        """
        self._network = network
        test = classify_pixels(network, dataset.test.images)
        is_right = test.logits.argmax(dim=1) == dataset.test.labels
        self._accuracy = float(is_right.double().mean()) if dataset.num_classes > 1 else math.nan
        self._reference = feature_statistics(test.features)
        self._floor = self._distance(dataset.train.images[chosen])
        if is_rounding(self._floor, self._reference):
            raise BadDataError(f"training and test images have the same features; {rerun(network.made_by)}")

    def scores(self, pixels: Tensor) -> dict[str, float]:
        """The fcd of samples, uint8 [N, 28, 28], its floor, their ratio, and the witness's accuracy on test images.

        The last is NaN where there is one class.
        """
        fcd = self._distance(pixels)
        return {
            "witness_fcd": fcd,
            "witness_fcd_floor": self._floor,
            "witness_fcd_over_floor": fcd / self._floor,
            "witness_accuracy": self._accuracy,
        }

    def _distance(self, pixels: Tensor) -> float:
        return frechet_distance(feature_statistics(classify_pixels(self._network, pixels).features), self._reference)

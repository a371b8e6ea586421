"""A quick look at the samples while training goes on, by the digit classifier; the stage `evaluate` looks closely."""

import math

import torch
from torch import Tensor

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, classify_pixels
from dcgan.data.batches import mixed_seed, to_pixels
from dcgan.data.dataset import LabelledImages

NUM_SAMPLES = 2_000
NUM_REFERENCES = 10_000
SEED = 0x7175696B
"""Samples, and the choice of images, are the same at every look and in every run."""


class QuickFcd:
    """Judges a generator by 2,000 samples against 10,000 training images, so that the test images stay unseen."""

    def __init__(self, classifier: Classifier, data: LabelledImages) -> None:
        """Read the reference images.

        Args:
            classifier: in evaluation mode.
            data: the training split; a small one is shared out, as many references as samples.

        Raises:
            BadDataError: the classifier's features are not finite.
        """
        self._classifier = classifier
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(mixed_seed(SEED)))
        self.num_samples = min(NUM_SAMPLES, len(data) // 2)
        real = classify_pixels(classifier, data.images[order[: self.num_samples]])
        references = classify_pixels(classifier, data.images[order[self.num_samples :][:NUM_REFERENCES]])
        self._references = feature_statistics(references.features)
        self.floor = frechet_distance(feature_statistics(real.features), self._references)
        """The fcd of as many other training images."""

    def __call__(self, images: Tensor, labels: Tensor | None) -> dict[str, float]:
        """Quick figures of generated images [num_samples, 1, 28, 28] in [-1, 1] with the digits asked for, or None.

        Returns:
            train/quick_fcd, the Fréchet classifier distance, and train/quick_fcd_floor; train/mode_coverage, how many
            of the ten digits the classifier finds; train/label_error, the share not classified as the label asked for,
            if the model is conditional. If an image is not finite, train/quick_fcd alone, which is no number.
        """
        if not torch.isfinite(images).all():
            return {"train/quick_fcd": math.nan}
        predictions = classify_pixels(self._classifier, to_pixels(images))
        digits = predictions.logits.argmax(dim=1)
        figures = {
            "train/quick_fcd": frechet_distance(feature_statistics(predictions.features), self._references),
            "train/quick_fcd_floor": self.floor,
            "train/mode_coverage": float(len(torch.unique(digits))),
        }
        if labels is not None:
            figures["train/label_error"] = float((digits != labels.cpu()).float().mean())
        return figures

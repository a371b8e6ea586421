"""A quick look at the samples while training goes on, by the digit classifier; the stage `evaluate` looks closely."""

import math

import torch
from torch import nn

from dcgan.core.batches import mixed_seed
from dcgan.core.classifier import Classifier, read_pixels
from dcgan.core.config import ModelConfig
from dcgan.core.dataset import LabelledImages
from dcgan.core.metrics.frechet import feature_statistics, frechet_distance
from dcgan.core.sampling import sample_from_seed, to_pixels

NUM_SAMPLES = 2_000
NUM_REFERENCES = 10_000
SEED = 0x7175696B
"""Samples, and the choice of images, are the same at every look and in every run."""


class QuickJudge:
    """Judges a generator by 2,000 samples against 10,000 training images, so that the test images stay unseen."""

    def __init__(self, classifier: Classifier, data: LabelledImages, model: ModelConfig) -> None:
        """Read the reference images.

        Args:
            classifier: in evaluation mode.
            data: the training split; a small one is shared out, as many references as samples.
            model: what the generator draws from.

        Raises:
            BadDataError: the classifier's features are not finite.
        """
        self._classifier, self._model = classifier, model
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(mixed_seed(SEED)))
        self._count = min(NUM_SAMPLES, len(data) // 2)
        real = read_pixels(classifier, data.images[order[: self._count]])
        references = read_pixels(classifier, data.images[order[self._count :][:NUM_REFERENCES]])
        self._references = feature_statistics(references.features)
        self.floor = frechet_distance(feature_statistics(real.features), self._references)
        """The fcd of as many other training images."""

    def __call__(self, generator: nn.Module) -> dict[str, float]:
        """What the samples of a generator in evaluation mode are like.

        Returns:
            train/fcd, the Fréchet classifier distance, and train/fcd_floor; train/digits_drawn, how many of the ten
            the classifier reads; train/misread, the share not read as asked, if the model is conditional. If an
            image is not finite, train/fcd alone, which is no number.
        """
        images, labels = sample_from_seed(generator, self._model, count=self._count, seed=SEED)
        if not torch.isfinite(images).all():
            return {"train/fcd": math.nan}
        reading = read_pixels(self._classifier, to_pixels(images))
        digits = reading.logits.argmax(dim=1)
        figures = {
            "train/fcd": frechet_distance(feature_statistics(reading.features), self._references),
            "train/fcd_floor": self.floor,
            "train/digits_drawn": float(len(torch.unique(digits))),
        }
        if labels is not None:
            figures["train/misread"] = float((digits != labels.cpu()).float().mean())
        return figures

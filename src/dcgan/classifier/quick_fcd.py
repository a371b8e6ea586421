"""Quick metrics of the samples during training; the stage `evaluate` measures the trained model in full."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dcgan.classifier.frechet import feature_statistics, frechet_distance
from dcgan.classifier.network import Classifier, classify_pixels
from dcgan.data.batches import mixed_seed, to_pixels
from dcgan.data.dataset import LabelledImages

NUM_SAMPLES = 2_000
NUM_REFERENCES = 10_000
SEED = 0x7175696B
"""Of samples and choice of images: the same at every evaluation and in every run."""

Generate = Callable[..., tuple[Tensor, Tensor | None]]
"""(count=N, seed=S) → generated images [N, 1, 28, 28] in [-1, 1] and their labels [N], or None."""


class QuickFcd:
    """Measures 2,000 samples against 10,000 training images, so that the test images stay held out."""

    def __init__(self, classifier: Classifier, data: LabelledImages) -> None:
        """Classify the reference images; a small training split is halved between samples of the floor and references.

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
        """The quick fcd of as many other training images."""

    def __call__(self, generate: Generate) -> dict[str, float]:
        """Metrics of 2,000 generated images, or as many as the floor was measured on.

        Returns:
            train/quick_fcd, the Fréchet classifier distance, and train/quick_fcd_floor; train/mode_coverage, how many
            of the classes are predicted; train/label_error, the share of images that are not predicted as their
            label, if there are labels. If an image is not finite, only train/quick_fcd, which is NaN.
        """
        images, labels = generate(count=self.num_samples, seed=SEED)
        if not torch.isfinite(images).all():
            return {"train/quick_fcd": math.nan}
        predictions = classify_pixels(self._classifier, to_pixels(images))
        digits = predictions.logits.argmax(dim=1)
        metrics = {
            "train/quick_fcd": frechet_distance(feature_statistics(predictions.features), self._references),
            "train/quick_fcd_floor": self.floor,
            "train/mode_coverage": float(len(torch.unique(digits))),
        }
        if labels is not None:
            metrics["train/label_error"] = float((digits != labels.cpu()).float().mean())
        return metrics

"""The digit classifier whose features measure samples."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dcgan.checkpoints.weights import restored
from dcgan.config.schema import NUM_CLASSES
from dcgan.data.batches import to_images
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import BadDataError

FEATURE_DIM = 128
CHUNK = 250
"""Images read at once: their maps stay in the processor's caches."""


class Predictions(NamedTuple):
    """What the classifier makes of N images: `features` float32 [N, 128] and `logits` float32 [N, 10]."""

    features: Tensor
    logits: Tensor


class Classifier(nn.Module):
    """Three 3x3 convolutions, two of them halved by pooling, and a hidden layer whose output is the features.

    Pooling comes before normalisation, which then has a quarter of the work to do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(1, 32, nn.MaxPool2d(2)),  # 14x14
            *_convolution(32, 64, nn.MaxPool2d(2)),  # 7x7
            *_convolution(64, 128),
            nn.Flatten(),
            nn.Linear(128 * 7 * 7, FEATURE_DIM, bias=False),
            nn.BatchNorm1d(FEATURE_DIM),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(FEATURE_DIM, NUM_CLASSES)

    def forward(self, images: Tensor) -> Predictions:
        """Read images [B, 1, 28, 28] in [-1, 1]."""
        features: Tensor = self.body(images)
        return Predictions(features, self.head(self.dropout(features)))


@torch.no_grad()
def classify_images(classifier: Classifier, images: Tensor) -> Predictions:
    """What a classifier in evaluation mode makes of images [N, 1, 28, 28] in [-1, 1]; on the CPU."""
    outputs = [classifier(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return Predictions(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


def classify_pixels(classifier: Classifier, pixels: Tensor) -> Predictions:
    """What a classifier in evaluation mode, wherever it is, makes of pixels uint8 [N, 28, 28]; on the CPU.

    Raises:
        BadDataError: it is not finite.
    """
    predictions = classify_images(classifier, to_images(pixels.to(next(classifier.parameters()).device)))
    if not all(torch.isfinite(part).all() for part in predictions):
        raise BadDataError("the classifier reads values that are not finite; run `dvc repro --force train_classifier`")
    return predictions


def compute_accuracy(classifier: Classifier, data: LabelledImages, *, device: torch.device) -> float:
    """The share of images, in [0, 1], that the classifier reads as their label says."""
    digits = classify_images(classifier, to_images(data.images.to(device))).logits.argmax(dim=1)
    return float((digits == data.labels).float().mean())


def _convolution(channels_in: int, channels_out: int, *pooling: nn.Module) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        *pooling,
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def load_classifier(path: Path, *, device: torch.device) -> Classifier:
    """The classifier that the stage train_classifier wrote, on `device` and in evaluation mode.

    Raises:
        BadDataError: as `load_weights`.
    """
    return restored(Classifier(), path, device=device, made_by="train_classifier")

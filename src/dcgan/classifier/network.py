"""The digit classifier, a small convolutional network whose features the metrics compare."""

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
"""Images classified at once: their maps stay in the processor's caches."""


class Predictions(NamedTuple):
    """The classifier's output for N images: `features` float32 [N, 128] and `logits` float32 [N, 10]."""

    features: Tensor
    logits: Tensor


class Classifier(nn.Module):
    """Three 3x3 convolutions, two with pooling, and a hidden layer whose output is the features.

    Pooling comes before normalisation, which then handles a quarter of the numbers.
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
        """Classify images [B, 1, 28, 28] in [-1, 1]."""
        features: Tensor = self.body(images)
        return Predictions(features, self.head(self.dropout(features)))


@torch.no_grad()
def classify_images(classifier: Classifier, images: Tensor) -> Predictions:
    """Predictions, on the CPU, of a classifier in evaluation mode for images [N, 1, 28, 28] in [-1, 1]."""
    outputs = [classifier(chunk) for chunk in torch.split(images, CHUNK)]
    return Predictions(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


def classify_pixels(classifier: Classifier, pixels: Tensor) -> Predictions:
    """Predictions, on the CPU, of a classifier on any device for pixels uint8 [N, 28, 28].

    Raises:
        BadDataError: a prediction is not finite.
    """
    predictions = classify_images(classifier, to_images(pixels.to(next(classifier.parameters()).device)))
    if not all(torch.isfinite(part).all() for part in predictions):
        raise BadDataError("the classifier's outputs are not finite; run `dvc repro --force train_classifier`")
    return predictions


def compute_accuracy(classifier: Classifier, data: LabelledImages, *, device: torch.device) -> float:
    """Accuracy, in [0, 1]: the share of images that the classifier predicts as their label."""
    digits = classify_images(classifier, to_images(data.images.to(device))).logits.argmax(dim=1)
    return float((digits == data.labels).double().mean())


def load_classifier(path: Path, *, device: torch.device) -> Classifier:
    """The classifier in a file that the stage train_classifier wrote, as `restored` has it."""
    return restored(Classifier(), path, device=device, made_by="train_classifier")


def _convolution(channels_in: int, channels_out: int, *pooling: nn.Module) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        *pooling,
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )

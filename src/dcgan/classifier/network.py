"""The digit classifiers, two networks of different architectures, whose features the metrics compare."""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from dcgan.checkpoints.weights import restored
from dcgan.config.schema import NUM_CLASSES
from dcgan.data.batches import to_images
from dcgan.data.dataset import LabelledImages
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

ClassifierName = Literal["classifier", "witness"]
"""Of the two networks: every metric on features uses the classifier, `witness_fcd` alone the witness, which stands by
with another architecture and seed; the training of the GAN never sees it."""

FEATURE_DIM = 128
NUM_GROUPS = 4
"""Of group normalisation (Wu & He 2018, arXiv:1803.08494)."""
NUM_ROTATIONS = 4
CHUNK = 250
"""Images classified at once: their maps stay in the processor's caches."""


class Predictions(NamedTuple):
    """The classifier's output for N images: `features` float32 [N, 128] and `logits` float32 [N, C] of C classes."""

    features: Tensor
    logits: Tensor


class Classifier(nn.Module):
    """Images to features by `body`, and features to the logits of the classes by a linear layer."""

    def __init__(self, body: nn.Module, *, made_by: str, num_classes: int = NUM_CLASSES) -> None:
        """Put together a classifier.

        Args:
            body: images [B, 1, 28, 28] to features [B, 128].
            made_by: the stage that trains it, for messages.
            num_classes: logits an image. Of one class, whose label teaches nothing, the network learns by how many
                quarter turns an image is rotated (Gidaris et al. 2018, arXiv:1803.07728): four logits.
        """
        super().__init__()
        self.made_by = made_by
        self.num_classes = num_classes
        self.body = body
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(FEATURE_DIM, NUM_ROTATIONS if self.learns_rotations else num_classes)

    @property
    def learns_rotations(self) -> bool:
        """Whether its head tells rotations, since there is one class only."""
        return self.num_classes == 1

    def forward(self, images: Tensor) -> Predictions:
        """Classify images [B, 1, 28, 28] in [-1, 1]."""
        features: Tensor = self.body(images)
        return Predictions(features, self.head(self.dropout(features)))


def build_classifier(name: ClassifierName = "classifier", *, num_classes: int = NUM_CLASSES) -> Classifier:
    """An untrained network of the architecture that has that name: convolutional, or residual for the witness."""
    body = convolutional_body() if name == "classifier" else residual_body()
    return Classifier(body, num_classes=num_classes, made_by=f"train_{name}")


def convolutional_body() -> nn.Sequential:
    """Three 3x3 convolutions with batch normalisation, two with pooling, and a hidden layer of ReLUs.

    Pooling comes before normalisation, which then handles a quarter of the numbers.
    """
    return nn.Sequential(
        *_convolution(1, 32, nn.MaxPool2d(2)),  # 14x14
        *_convolution(32, 64, nn.MaxPool2d(2)),  # 7x7
        *_convolution(64, 128),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, FEATURE_DIM, bias=False),
        nn.BatchNorm1d(FEATURE_DIM),
        nn.ReLU(),
    )


def residual_body() -> nn.Sequential:
    """Two residual blocks with group normalisation and SiLU (He et al. 2016, arXiv:1603.05027), and a hidden layer.

    Nothing in it depends on the other images of a batch.
    """
    return nn.Sequential(
        nn.Conv2d(1, 24, 4, stride=2, padding=1),  # 14x14
        ResidualBlock(24, 24),
        ResidualBlock(24, 48, stride=2),  # 7x7
        nn.GroupNorm(NUM_GROUPS, 48),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(48 * 7 * 7, FEATURE_DIM),
        nn.SiLU(),
    )


class ResidualBlock(nn.Module):
    """Skip(x) + convolve(convolve(x)), each of the two after normalisation and SiLU.

    Maps [B, channels_in, H, W] to [B, channels_out, H / stride, W / stride]; the skip is a 1x1 convolution unless the
    shapes agree.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.GroupNorm(NUM_GROUPS, channels_in),
            nn.SiLU(),
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(NUM_GROUPS, channels_out),
            nn.SiLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        )
        is_same = channels_in == channels_out and stride == 1
        self.skip = nn.Identity() if is_same else nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The maps after the block."""
        result: Tensor = self.skip(maps) + self.residual(maps)
        return result


def rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Images [N, 1, 28, 28], each rotated by its number of quarter turns, int64 [N] from 0 to 3."""
    result = images.clone()
    for turn in range(1, NUM_ROTATIONS):
        chosen = turns == turn
        result[chosen] = torch.rot90(images[chosen], turn, dims=(2, 3))
    return result


@torch.no_grad()
def classify_images(classifier: Classifier, images: Tensor) -> Predictions:
    """Predictions, on the CPU, of a classifier in evaluation mode for images [N, 1, 28, 28] in [-1, 1].

    Where there is one class, every image is predicted as it: the logits are zeros.
    """
    features, logits = _outputs(classifier, images)
    return Predictions(features, torch.zeros(len(logits), 1) if classifier.learns_rotations else logits)


def _outputs(classifier: Classifier, images: Tensor) -> Predictions:
    outputs = [classifier(chunk) for chunk in torch.split(images, CHUNK)]
    return Predictions(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


def classify_pixels(classifier: Classifier, pixels: Tensor) -> Predictions:
    """Predictions, on the CPU, of a classifier on any device for pixels uint8 [N, 28, 28].

    Raises:
        BadDataError: a prediction is not finite.
    """
    predictions = classify_images(classifier, to_images(pixels.to(next(classifier.parameters()).device)))
    if not all(torch.isfinite(part).all() for part in predictions):
        raise BadDataError(f"the classifier's outputs are not finite; {rerun(classifier.made_by)}")
    return predictions


@torch.no_grad()
def compute_accuracy(classifier: Classifier, data: LabelledImages, *, device: torch.device) -> float:
    """Accuracy, in [0, 1]: the share of images that the classifier predicts as their label, or as their rotation."""
    images, labels = to_images(data.images.to(device)), data.labels
    if classifier.learns_rotations:
        labels = torch.arange(len(data)) % NUM_ROTATIONS
        images = rotated(images, labels.to(device))
    return float((_outputs(classifier, images).logits.argmax(dim=1) == labels).double().mean())


def load_classifier(
    path: Path, *, device: torch.device, name: ClassifierName = "classifier", num_classes: int = NUM_CLASSES
) -> Classifier:
    """The classifier in a file that the stage `train_<name>` wrote, as `restored` has it."""
    classifier = build_classifier(name, num_classes=num_classes)
    return restored(classifier, path, device=device, made_by=classifier.made_by)


def _convolution(channels_in: int, channels_out: int, *pooling: nn.Module) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        *pooling,
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )

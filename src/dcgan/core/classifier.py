"""The digit classifier whose features judge the samples."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcgan.core.batches import Batches, to_images
from dcgan.core.config import NUM_CLASSES, ClassifierConfig
from dcgan.core.dataset import LabelledImages
from dcgan.errors import DivergedError

FEATURE_DIM = 128
CHUNK = 250
"""Images read at once: their maps stay in the processor's caches."""


class Reading(NamedTuple):
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

    def forward(self, images: Tensor) -> Reading:
        """Read images [B, 1, 28, 28] in [-1, 1]."""
        features: Tensor = self.body(images)
        return Reading(features, self.head(self.dropout(features)))


def train_classifier(
    data: LabelledImages,
    config: ClassifierConfig,
    *,
    device: torch.device,
    on_step: Callable[[int, int], None],
) -> Classifier:
    """A classifier trained on `data`, in evaluation mode; the same on every run with equal device and threads.

    One cycle of the learning rate (Smith 2018, arXiv:1803.09820), images shifted by up to two pixels.

    Args:
        data: the training split.
        config: `learning_rate` is the highest of the cycle.
        device: where to train.
        on_step: is told (steps done, steps in all) after each step.

    Raises:
        DivergedError: its loss is not finite in the end.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = Classifier().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        batches = Batches(data, batch_size=min(config.batch_size, len(data)), seed=config.seed, device=device)
        end = config.epochs * batches.steps_per_epoch
        optimizer = torch.optim.AdamW(classifier.parameters(), config.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=end)
        for step in range(end):
            images, labels = batches.batch(step)
            loss = functional.cross_entropy(classifier(_shifted(images)).logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            on_step(step + 1, end)
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the classifier diverged: its loss is {float(loss.detach())}; lower classifier.learning_rate"
        )
    trained: Classifier = classifier.eval()
    return trained


@torch.no_grad()
def read_images(classifier: Classifier, images: Tensor) -> Reading:
    """What a classifier in evaluation mode makes of images [N, 1, 28, 28] in [-1, 1]; on the CPU."""
    readings = [classifier(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return Reading(*(torch.cat(parts).cpu() for parts in zip(*readings, strict=True)))


def compute_accuracy(classifier: Classifier, data: LabelledImages, *, device: torch.device) -> float:
    """The share of images, in [0, 1], that the classifier reads as their label says."""
    digits = read_images(classifier, to_images(data.images.to(device))).logits.argmax(dim=1)
    return float((digits == data.labels).float().mean())


def _convolution(channels_in: int, channels_out: int, *pooling: nn.Module) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        *pooling,
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def _shifted(images: Tensor) -> Tensor:
    """The whole batch shifted by one random offset of up to two pixels each way; the border is background."""
    down, right = (int(offset) for offset in torch.randint(-2, 3, (2,)))
    padded = functional.pad(images, (2, 2, 2, 2), value=-1.0)
    return padded[..., 2 + down : 30 + down, 2 + right : 30 + right]

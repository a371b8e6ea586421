"""The discriminator: how well it tells real from fake, how sure it may be, and what digits its features know."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from dcgan.config.schema import ModelConfig
from dcgan.data.batches import to_images
from dcgan.data.dataset import Dataset
from dcgan.evaluation.metrics.binary import (
    Reliability,
    RocCurve,
    accuracy_at_zero,
    brier_score,
    expected_calibration_error,
    reliability,
    roc_auc,
    roc_curve,
)
from dcgan.evaluation.metrics.probe import probe_accuracy
from dcgan.evaluation.samples import Samples, shuffled
from dcgan.gan.networks import Discriminator, build_discriminator
from dcgan.system.errors import BadDataError

CHUNK = 250
POOLED_SIZE = 2
"""Width and height of the maps that a probe sees; Radford et al. 2016, section 5.1, pool to 4."""
FEW_LABELS = (1000, 100)


@dataclass(frozen=True, kw_only=True)
class ProbeFigures:
    """Share of test images read as labelled by a linear classifier that saw `num_labels` training images."""

    num_labels: int
    discriminator: float
    untrained: float
    """Another network of that shape, before its first step."""
    pixels: float


@dataclass(frozen=True, kw_only=True)
class DiscriminatorFigures:
    """How well the discriminator tells the test images from the samples."""

    accuracy: float
    roc_auc: float
    calibration_error: float
    brier_score: float
    train_real_logits: float
    test_real_logits: float
    fake_logits: float
    roc: RocCurve
    reliability: Reliability
    probes: tuple[ProbeFigures, ...]
    """With all labels, and with 1,000 and 100 of them where there are more."""

    @property
    def overfitting_gap(self) -> float:
        """Mean logit of training images less that of test images; 0 if it has learnt none by heart."""
        return self.train_real_logits - self.test_real_logits


def evaluate_discriminator(
    discriminator: Discriminator, model: ModelConfig, samples: Samples, dataset: Dataset, *, seed: int
) -> DiscriminatorFigures:
    """Let the discriminator, in evaluation mode, score the samples, the test images and as many training images.

    Args:
        discriminator: in evaluation mode.
        model: its shape, for an untrained one beside it.
        samples: the fakes.
        dataset: both splits.
        seed: of the untrained one, and of the choice of training images.
    """
    train, test = dataset.train, dataset.test
    chosen = shuffled(len(train), seed=seed, purpose="discriminator")[: len(test)]
    test_logits = _logits(discriminator, test.images, test.labels)
    train_logits = _logits(discriminator, train.images[chosen], train.labels[chosen])
    fake_logits = _logits(discriminator, samples.pixels, samples.labels)
    roc, calibration = roc_curve(test_logits, fake_logits), reliability(test_logits, fake_logits)
    return DiscriminatorFigures(
        accuracy=accuracy_at_zero(test_logits, fake_logits),
        roc_auc=roc_auc(roc),
        calibration_error=expected_calibration_error(calibration),
        brier_score=brier_score(test_logits, fake_logits),
        train_real_logits=float(train_logits.mean()),
        test_real_logits=float(test_logits.mean()),
        fake_logits=float(fake_logits.mean()),
        roc=roc,
        reliability=calibration,
        probes=_probe(discriminator, model, dataset, seed=seed),
    )


def _probe(
    discriminator: Discriminator, model: ModelConfig, dataset: Dataset, *, seed: int
) -> tuple[ProbeFigures, ...]:
    """Linear probes of the discriminator's last maps, beside those of an untrained one and of the pixels."""
    order = shuffled(len(dataset.train), seed=seed, purpose="discriminator")
    met = dataset.train.images[order[: 50 * CHUNK]]
    untrained = _untrained(model, met, seed=seed, device=next(discriminator.parameters()).device)
    views = {
        "discriminator": tuple(_pooled(discriminator, split.images) for split in (dataset.train, dataset.test)),
        "untrained": tuple(_pooled(untrained, split.images) for split in (dataset.train, dataset.test)),
        "pixels": tuple(split.images.flatten(1).float() for split in (dataset.train, dataset.test)),
    }
    figures = []
    for num_labels in (len(dataset.train), *(few for few in FEW_LABELS if few < len(dataset.train))):
        chosen = order[:num_labels]
        accuracies = {
            name: probe_accuracy(
                train[chosen], dataset.train.labels[chosen], test_features=test, test_labels=dataset.test.labels
            )
            for name, (train, test) in views.items()
        }
        figures.append(ProbeFigures(num_labels=num_labels, **accuracies))
    return tuple(figures)


@torch.no_grad()
def _untrained(model: ModelConfig, pixels: Tensor, *, seed: int, device: torch.device) -> Discriminator:
    """A discriminator as it is before training, but that its normalisation has met images uint8 [N, 28, 28]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = build_discriminator(model)
    discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for start in range(0, len(pixels), CHUNK):
        discriminator.maps(to_images(pixels[start : start + CHUNK].to(device)))
    return discriminator.eval()


@torch.no_grad()
def _pooled(discriminator: Discriminator, pixels: Tensor) -> Tensor:
    """The last maps, each pooled to 2x2 and laid flat, float32 [N, F] on the CPU."""
    device = next(discriminator.parameters()).device
    chunks = (to_images(pixels[start : start + CHUNK].to(device)) for start in range(0, len(pixels), CHUNK))
    pooled = [adaptive_max_pool2d(discriminator.maps(images), POOLED_SIZE).flatten(1).cpu() for images in chunks]
    return torch.cat(pooled)


@torch.no_grad()
def _logits(discriminator: nn.Module, pixels: Tensor, labels: Tensor | None) -> NDArray[np.float64]:
    assert not discriminator.training, "BatchNorm would make the logits depend on their neighbours"
    device = next(discriminator.parameters()).device
    logits = []
    for start in range(0, len(pixels), CHUNK):
        chosen = slice(start, start + CHUNK)
        asked = None if labels is None else labels[chosen].to(device)
        logits.append(discriminator(to_images(pixels[chosen].to(device)), asked).logits)
    judged: NDArray[np.float64] = torch.cat(logits).double().cpu().numpy()
    if not np.isfinite(judged).all():
        raise BadDataError("the discriminator's logits are not finite; run `dvc repro --force train`")
    return judged

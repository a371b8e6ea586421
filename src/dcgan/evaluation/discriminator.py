"""Evaluation of the discriminator: real against fake on held-out images, calibration, and probes of its features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from dcgan.config.schema import GanConfig
from dcgan.data.batches import to_images
from dcgan.data.dataset import Dataset
from dcgan.evaluation.metrics.binary import Reliability, reliability
from dcgan.evaluation.metrics.probe import probe_accuracy
from dcgan.evaluation.report import print_progress
from dcgan.evaluation.samples import Samples, shuffled
from dcgan.gan.losses import LOSSES, logistic_discriminator_loss
from dcgan.gan.networks import Discriminator, build_discriminator
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

CHUNK = 250
POOLED_SIZE = 2
"""Width and height of the pooled maps that a probe gets; Radford et al. 2016, section 5.1, pool to 4."""
FEW_LABELS = (1000, 100)
NUM_WARM_UP_IMAGES = 50 * CHUNK
"""Training images from which the untrained network takes its normalisation statistics."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorQuality:
    """The report on a discriminator, and its curves."""

    report: dict[str, Any]
    """Every metric by its name in reports/evaluation.json, in plain Python types."""
    roc: NDArray[np.float64]
    """The ROC curve, [T, 2]: false and true positive rates."""
    reliability: Reliability | None
    """None where σ(logit) is no probability."""


def evaluate_discriminator(
    discriminator: Discriminator, config: GanConfig, samples: Samples, dataset: Dataset, *, seed: int
) -> DiscriminatorQuality:
    """Measure the discriminator on equal numbers of test images and samples, and on as many training images.

    Accuracy needs a loss with a decision boundary at 0; calibration needs one whose σ(logit) estimates a probability.
    The seed is that of the untrained network beside it, and of the choice of images.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

    print_progress("discriminator")
    loss, count = LOSSES[config.loss.name], min(len(dataset.test), len(samples))
    held_out = shuffled(len(dataset.test), seed=seed, purpose="held out")[:count]
    seen = shuffled(len(dataset.train), seed=seed, purpose="discriminator")[:count]
    real = _logits(discriminator, dataset.test.images[held_out], dataset.test.labels[held_out])
    training = _logits(discriminator, dataset.train.images[seen], dataset.train.labels[seen])
    fake = _logits(discriminator, samples.pixels, samples.labels)[:count]
    logits, is_real = np.concatenate([real, fake]), np.repeat([True, False], count)
    calibration = None
    if loss.discriminator is logistic_discriminator_loss:
        calibration = reliability(is_real, expit(logits))
    print_progress("linear probes")
    report = {
        "num_images": count,
        "accuracy": float(((logits > 0) == is_real).mean()) if loss.has_decision_boundary else None,
        "roc_auc": float(roc_auc_score(is_real, logits)),
        "calibration_error": calibration.error if calibration else None,
        "brier_score": float(brier_score_loss(is_real, expit(logits))) if calibration else None,
        "train_real_logits": float(training.mean()),
        "test_real_logits": float(real.mean()),
        "fake_logits": float(fake.mean()),
        "generalization_gap": float(training.mean() - real.mean()),
        "probes": _probe(discriminator, config, dataset, seed=seed),
    }
    roc = np.stack(roc_curve(is_real, logits)[:2], axis=1)
    return DiscriminatorQuality(report=report, roc=roc, reliability=calibration)


def _probe(
    discriminator: Discriminator, config: GanConfig, dataset: Dataset, *, seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy of linear probes by number of labels, on the last maps, an untrained network's maps, and pixels.

    None are there where there is one class: its label teaches nothing.
    """
    if dataset.num_classes == 1:
        return {}
    splits, labels = (dataset.train, dataset.test), dataset.train.labels
    order = shuffled(len(labels), seed=seed, purpose="discriminator")
    warm_up, device = dataset.train.images[order[:NUM_WARM_UP_IMAGES]], next(discriminator.parameters()).device
    untrained = untrained_discriminator(config, warm_up, seed=seed, device=device)
    features = {
        "discriminator": [_pooled(discriminator, split.images) for split in splits],
        "untrained": [_pooled(untrained, split.images) for split in splits],
        "pixels": [split.images.flatten(1).float() for split in splits],
    }
    return {
        str(len(chosen)): {
            name: probe_accuracy(train[chosen], labels[chosen], test_features=test, test_labels=dataset.test.labels)
            for name, (train, test) in features.items()
        }
        for chosen in (order, *(order[:few] for few in FEW_LABELS if few < len(order)))
    }


@torch.no_grad()
def untrained_discriminator(config: GanConfig, pixels: Tensor, *, seed: int, device: torch.device) -> Discriminator:
    """The discriminator before its first step, in evaluation mode, with normalisation statistics of `pixels`.

    These are training images uint8 [N, 28, 28]; the seed is that of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = build_discriminator(config.model, spectral_norm=config.penalties.spectral_norm)
        discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for chunk in torch.split(pixels, CHUNK):
            discriminator.maps(to_images(chunk.to(device)))
    return discriminator.eval()


@torch.no_grad()
def _pooled(discriminator: Discriminator, pixels: Tensor) -> Tensor:
    """The last maps, each pooled to 2x2 and flattened, float32 [N, F] on the CPU."""
    device = next(discriminator.parameters()).device
    maps = (discriminator.maps(to_images(chunk.to(device))) for chunk in torch.split(pixels, CHUNK))
    return torch.cat([adaptive_max_pool2d(each, POOLED_SIZE).flatten(1).cpu() for each in maps])


@torch.no_grad()
def _logits(discriminator: nn.Module, pixels: Tensor, labels: Tensor | None) -> NDArray[np.float64]:
    assert not discriminator.training, "BatchNorm would make the logits depend on their neighbours"
    device, chunks = next(discriminator.parameters()).device, []
    for start in range(0, len(pixels), CHUNK):
        images = to_images(pixels[start : start + CHUNK].to(device))
        chunks.append(
            discriminator(images, None if labels is None else labels[start : start + CHUNK].to(device)).logits
        )
    logits: NDArray[np.float64] = torch.cat(chunks).double().cpu().numpy()
    if not np.isfinite(logits).all():
        raise BadDataError(f"the discriminator's logits are not finite; {rerun('train')}")
    return logits

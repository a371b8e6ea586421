"""Everything that is measured of a trained model, in one pass over samples and test images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcgan.core.batches import mixed_seed, to_images
from dcgan.core.classifier import Classifier, Reading, read_images
from dcgan.core.config import EvaluateConfig, ModelConfig
from dcgan.core.dataset import Dataset, LabelledImages
from dcgan.core.metrics.classes import class_shares, confusion_matrix, read_as_asked
from dcgan.core.metrics.discriminator import RocCurve, accuracy_at_zero, roc_auc, roc_curve
from dcgan.core.metrics.frechet import feature_statistics, frechet_distance
from dcgan.core.sampling import image_grid, sample_from_seed, to_pixels
from dcgan.errors import UsageError

CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class SampleFigures:
    """How good the samples are."""

    fcd: float
    """Fréchet classifier distance between the samples and the test images."""
    fcd_floor: float
    """The same distance between as many training images and the test images."""
    class_shares: NDArray[np.float64]
    """Share of each digit among the samples, as the classifier reads them, [10]."""
    read_as_asked: float | None
    """Share of samples read as the digit asked for; None for an unconditional model."""
    confusion: NDArray[np.int64] | None
    """Digit asked for against digit read, [10, 10]; None for an unconditional model."""
    classifier_accuracy: float
    """Accuracy of the judge itself on the test images."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorFigures:
    """How well the discriminator tells the test images from the samples."""

    accuracy: float
    roc_auc: float
    train_real_logits: float
    test_real_logits: float
    fake_logits: float
    roc: RocCurve


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The judged samples: `images` float32 [N, 1, 28, 28] in [-1, 1], and the digits asked for [N] or None."""

    images: Tensor
    labels: Tensor | None


def draw_samples(generator: nn.Module, model: ModelConfig, config: EvaluateConfig) -> Samples:
    """The samples that are judged; what is shown to people comes from the same set."""
    images, labels = sample_from_seed(generator, model, count=config.num_samples, seed=config.seed)
    # What leaves the generator as a file has 256 levels, so that is what is judged.
    return Samples(images=to_images(to_pixels(images)), labels=labels)


def judge_samples(
    samples: Samples, *, classifier: Classifier, dataset: Dataset, config: EvaluateConfig
) -> SampleFigures:
    """Compare the samples with the test images through the classifier's features.

    Raises:
        UsageError: there are fewer training images than samples, so that the floor would not be comparable.
    """
    device = samples.images.device
    fake = read_images(classifier, samples.images)
    test = read_images(classifier, to_images(dataset.test.images.to(device)))
    train = read_images(classifier, to_images(_chosen(dataset.train, config).images.to(device)))
    reference = feature_statistics(test.features)
    digits = _digits(fake)
    asked = None if samples.labels is None else samples.labels.cpu().numpy()
    return SampleFigures(
        fcd=frechet_distance(feature_statistics(fake.features), reference),
        fcd_floor=frechet_distance(feature_statistics(train.features), reference),
        class_shares=class_shares(digits),
        read_as_asked=None if asked is None else read_as_asked(asked, digits),
        confusion=None if asked is None else confusion_matrix(asked, digits),
        classifier_accuracy=float((_digits(test) == dataset.test.labels.numpy()).mean()),
    )


def judge_discriminator(
    discriminator: nn.Module, samples: Samples, *, dataset: Dataset, config: EvaluateConfig
) -> DiscriminatorFigures:
    """Let the discriminator judge test images, training images and samples, in evaluation mode."""
    test = _logits(discriminator, dataset.test, device=samples.images.device)
    train = _logits(discriminator, _chosen(dataset.train, config), device=samples.images.device)
    fake = _judge(discriminator, samples.images, samples.labels)
    roc = roc_curve(test, fake)
    return DiscriminatorFigures(
        accuracy=accuracy_at_zero(test, fake),
        roc_auc=roc_auc(roc),
        train_real_logits=float(train.mean()),
        test_real_logits=float(test.mean()),
        fake_logits=float(fake.mean()),
        roc=roc,
    )


def summarise(samples: SampleFigures, discriminator: DiscriminatorFigures) -> dict[str, object]:
    """Every figure by the name it has in reports, in plain Python types."""
    return {
        "fcd": samples.fcd,
        "fcd_floor": samples.fcd_floor,
        "fcd_over_floor": samples.fcd / samples.fcd_floor,
        "read_as_asked": samples.read_as_asked,
        "min_class_share": float(samples.class_shares.min()),
        "class_shares": samples.class_shares.tolist(),
        "classifier_accuracy": samples.classifier_accuracy,
        "discriminator": {
            "accuracy": discriminator.accuracy,
            "roc_auc": discriminator.roc_auc,
            "train_real_logits": discriminator.train_real_logits,
            "test_real_logits": discriminator.test_real_logits,
            "fake_logits": discriminator.fake_logits,
        },
    }


def numbers_in(summary: Mapping[str, object], *, prefix: str = "evaluation") -> dict[str, float]:
    """The numbers of a summary as metrics: `evaluation/fcd`, `evaluation/discriminator/accuracy`."""
    metrics: dict[str, float] = {}
    for name, value in summary.items():
        if isinstance(value, Mapping):
            metrics |= numbers_in(value, prefix=f"{prefix}/{name}")
        elif isinstance(value, int | float):
            metrics[f"{prefix}/{name}"] = float(value)
    return metrics


def sample_grid(samples: Samples) -> NDArray[np.uint8]:
    """The first hundred samples, uint8 [height, width]; one column a digit if conditional."""
    return image_grid(to_pixels(samples.images[:100]), columns=10)


def _chosen(train: LabelledImages, config: EvaluateConfig) -> LabelledImages:
    """As many training images as there are samples, drawn without replacement."""
    if config.num_samples > len(train):
        raise UsageError(
            f"evaluate.num_samples: {config.num_samples} is more than the {len(train)} training images,"
            " which the floor needs as many of"
        )
    rng = torch.Generator().manual_seed(mixed_seed(config.seed, 1))
    chosen = torch.randperm(len(train), generator=rng)[: config.num_samples]
    return LabelledImages(train.images[chosen], train.labels[chosen])


def _digits(reading: Reading) -> NDArray[np.int64]:
    digits: NDArray[np.int64] = reading.logits.argmax(dim=1).numpy()
    return digits


def _logits(discriminator: nn.Module, data: LabelledImages, *, device: torch.device) -> NDArray[np.float64]:
    return _judge(discriminator, to_images(data.images.to(device)), data.labels.to(device))


@torch.no_grad()
def _judge(discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> NDArray[np.float64]:
    assert not discriminator.training, "BatchNorm would make the logits depend on their neighbours"
    logits = []
    for start in range(0, len(images), CHUNK):
        chosen = slice(start, start + CHUNK)
        logits.append(discriminator(images[chosen], None if labels is None else labels[chosen]))
    judged: NDArray[np.float64] = torch.cat(logits).double().cpu().numpy()
    return judged

"""What samples are good for: a classifier that learns from them alone reads real digits."""

import dataclasses
from dataclasses import dataclass

import torch

from dcgan.core.batches import mixed_seed
from dcgan.core.classifier import compute_accuracy, train_classifier
from dcgan.core.config import ClassifierConfig
from dcgan.core.dataset import Dataset, LabelledImages
from dcgan.core.evaluation.samples import Source, draw_samples


@dataclass(frozen=True, kw_only=True)
class UsefulnessFigures:
    """Accuracy on the test images of two classifiers that differ only in what they learnt from, in one pass."""

    num_images: int
    """Of each of the two training sets."""
    train_on_fake: float
    train_on_real: float


def judge_usefulness(
    source: Source, dataset: Dataset, config: ClassifierConfig, *, num_images: int, seed: int, device: torch.device
) -> UsefulnessFigures | None:
    """Train two classifiers alike, on `num_images` samples and on as many real images (or all, if they are fewer).

    None for an unconditional model, whose samples have no labels to learn from.
    """
    if not source.conditional:
        return None
    num_images = min(num_images, len(dataset.train))
    fake = draw_samples(source, count=num_images, seed=mixed_seed(seed, 4))
    chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(mixed_seed(seed, 5)))
    real = chosen[:num_images]
    assert fake.labels is not None

    def accuracy_after(images: LabelledImages) -> float:
        one_pass = dataclasses.replace(config, epochs=1)
        classifier = train_classifier(images, one_pass, device=device, on_step=lambda _done, _all: None)
        return compute_accuracy(classifier, dataset.test, device=device)

    return UsefulnessFigures(
        num_images=num_images,
        train_on_fake=accuracy_after(LabelledImages(fake.pixels, fake.labels)),
        train_on_real=accuracy_after(LabelledImages(dataset.train.images[real], dataset.train.labels[real])),
    )

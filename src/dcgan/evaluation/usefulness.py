"""What samples are good for: a classifier that learns from them alone reads real digits."""

import dataclasses
import math
from dataclasses import dataclass

import torch

from dcgan.classifier.network import compute_accuracy
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation.samples import Sampler, generate_samples, shuffled

MIN_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class UsefulnessFigures:
    """Accuracy on the test images of two classifiers that differ only in what they learnt from."""

    num_images: int
    """Of each of the two training sets."""
    train_on_fake: float
    train_on_real: float


def evaluate_usefulness(
    sampler: Sampler, dataset: Dataset, config: ClassifierConfig, *, num_images: int, seed: int, device: torch.device
) -> UsefulnessFigures | None:
    """Train two classifiers alike, on `num_images` samples and on as many real images (or all, if they are fewer).

    In one pass, or as many as make 100 steps. None for an unconditional model, whose samples have no labels.
    """
    if not sampler.conditional:
        return None
    num_images = min(num_images, len(dataset.train))
    fake = generate_samples(sampler, count=num_images, seed=seed, purpose="usefulness")
    real = shuffled(len(dataset.train), seed=seed, purpose="usefulness")[:num_images]
    assert fake.labels is not None
    steps_per_epoch = num_images // min(config.batch_size, num_images)
    config = dataclasses.replace(config, epochs=math.ceil(MIN_STEPS / steps_per_epoch))

    def accuracy_after(images: LabelledImages) -> float:
        classifier = trained_classifier(images, config, device=device)
        return compute_accuracy(classifier, dataset.test, device=device)

    return UsefulnessFigures(
        num_images=num_images,
        train_on_fake=accuracy_after(LabelledImages(fake.pixels, fake.labels)),
        train_on_real=accuracy_after(LabelledImages(dataset.train.images[real], dataset.train.labels[real])),
    )

"""Train on fake, test on real: the test accuracy of a classifier that learnt from samples alone.

Also known as classification accuracy score (Ravuri & Vinyals 2019, arXiv:1905.10887).
"""

import dataclasses
import math

import torch

from dcgan.classifier.network import compute_accuracy
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.dataset import Dataset, LabelledImages
from dcgan.evaluation.samples import Sampler, generate_samples, shuffled
from dcgan.system.progress import ProgressLines

MIN_STEPS = 100


def train_on_fake(
    sampler: Sampler, dataset: Dataset, config: ClassifierConfig, *, num_images: int, seed: int, device: torch.device
) -> dict[str, float | int | None]:
    """Test accuracy of two classifiers alike, one trained on samples and one on as many real images, the floor.

    For one epoch, or as many as make 100 steps; on `num_images` each, or all training images if they are fewer.

    Returns:
        `train_on_fake` and `train_on_fake_floor`, in [0, 1], and `num_train_on_fake`; all None for an unconditional
        model, whose samples have no labels.
    """
    if not sampler.conditional:
        return dict.fromkeys(("train_on_fake", "train_on_fake_floor", "num_train_on_fake"))
    num_images = min(num_images, len(dataset.train))
    fake = generate_samples(sampler, count=num_images, seed=seed, purpose="usefulness")
    real = shuffled(len(dataset.train), seed=seed, purpose="usefulness")[:num_images]
    assert fake.labels is not None
    steps_per_epoch = num_images // min(config.batch_size, num_images)
    config = dataclasses.replace(config, epochs=math.ceil(MIN_STEPS / steps_per_epoch))

    def accuracy_after(images: LabelledImages) -> float:
        on_step = ProgressLines("evaluate: the classifier").advance_to
        network = trained_classifier(images, config, device=device, num_classes=dataset.num_classes, on_step=on_step)
        return compute_accuracy(network, dataset.test, device=device)

    return {
        "train_on_fake": accuracy_after(LabelledImages(fake.pixels, fake.labels)),
        "train_on_fake_floor": accuracy_after(LabelledImages(dataset.train.images[real], dataset.train.labels[real])),
        "num_train_on_fake": num_images,
    }

"""A data set that a small classifier learns in seconds."""

import pytest
import torch

from dcgan.classifier.network import Classifier
from dcgan.classifier.training import trained_classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.dataset import Dataset, LabelledImages


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A digit is told by the place of a bright block: one of five columns, above or below."""
    rng = torch.Generator().manual_seed(0)

    def split() -> LabelledImages:
        labels = torch.arange(400) % 10
        images = torch.zeros((400, 28, 28), dtype=torch.uint8)
        for image, digit in zip(images, labels.tolist(), strict=True):
            top, left = 3 + 13 * (digit // 5), 2 + 5 * (digit % 5)
            image[top : top + 9, left : left + 4] = torch.randint(80, 256, (9, 4), generator=rng, dtype=torch.uint8)
        return LabelledImages(images, labels)

    return Dataset("digits", "d" * 64, split(), split())


@pytest.fixture(scope="session")
def classifier_config() -> ClassifierConfig:
    return ClassifierConfig(epochs=6, batch_size=8)


@pytest.fixture(scope="session")
def classifier(dataset, classifier_config) -> Classifier:
    return trained_classifier(dataset.train, classifier_config, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def witness(dataset, classifier_config) -> Classifier:
    return trained_classifier(dataset.train, classifier_config, device=torch.device("cpu"), name="witness")

import pytest
import torch

from dcgan.core.batches import to_images
from dcgan.core.classifier import FEATURE_DIM, compute_accuracy, read_images, train_classifier
from dcgan.core.config import ClassifierConfig

CPU = torch.device("cpu")
CONFIG = ClassifierConfig(seed=0, epochs=8, batch_size=20, learning_rate=4e-3)


def trained(data, **kwargs):
    return train_classifier(data, CONFIG, device=CPU, **({"on_step": lambda step, end: None} | kwargs))


@pytest.fixture(scope="module")
def classifier(striped_images):
    return trained(striped_images)


def test_it_learns_what_can_be_learnt(classifier, striped_images):
    assert compute_accuracy(classifier, striped_images, device=CPU) > 0.9


def test_it_is_the_same_on_every_run(classifier, striped_images):
    again = trained(striped_images).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in classifier.state_dict().items())


def test_features_are_what_the_head_reads(classifier, striped_images):
    images = to_images(striped_images.images)
    reading = read_images(classifier, images)
    assert reading.features.shape == (100, FEATURE_DIM)
    torch.testing.assert_close(classifier.head(reading.features), reading.logits)
    torch.testing.assert_close(read_images(classifier, images[:3]).features, reading.features[:3])


def test_progress_is_told_to_the_end(striped_images):
    steps = []
    trained(striped_images, on_step=lambda step, end: steps.append((step, end)))
    assert steps == [(step, 40) for step in range(1, 41)]

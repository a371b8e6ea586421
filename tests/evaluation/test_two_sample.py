"""The classifier two-sample test on differences of known size."""

import dataclasses

import numpy as np
import pytest
import torch

from dcgan.config.schema import ClassifierConfig, EvaluateConfig
from dcgan.evaluation.two_sample import TwoSampleTest, compare_real_images, two_sample_test
from dcgan.system.errors import DivergedError
from support import CPU

CONFIG = ClassifierConfig(epochs=10, batch_size=16, max_shift=0)
CHANCE = (0.4, 0.6)
"""Four standard deviations about ½ for the accuracy of 200 images of each kind."""


def compare_halves(dataset, change) -> TwoSampleTest:
    """The test of one half of each split, changed, against the other."""
    halves = [(split.images[:200], change(split.images[200:])) for split in (dataset.train, dataset.test)]
    return two_sample_test(*halves, CONFIG, device=CPU)


def foggy(images: torch.Tensor) -> torch.Tensor:
    noise = torch.randint(0, 120, images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return torch.where(images == 0, noise, images)


def test_images_of_one_kind_cannot_be_told_apart(dataset):
    found = compare_halves(dataset, lambda images: images)
    assert CHANCE[0] < found.accuracy < CHANCE[1]
    assert CHANCE[0] < found.auc < CHANCE[1]


@pytest.mark.parametrize("change", [foggy, lambda images: images.roll(1, dims=2)], ids=["fog", "shift"])
def test_a_planted_difference_is_found(dataset, change):
    found = compare_halves(dataset, change)
    assert found.accuracy > 0.9
    assert found.auc > 0.95


def test_accuracy_and_auc_are_those_of_the_logits_with_both_kinds_counting_half(dataset):
    images = dataset.train.images
    found = two_sample_test((images[:200], images[200:]), (images[:50], images[200:]), CONFIG, device=CPU)
    assert found.accuracy == pytest.approx(((found.real_logits <= 0).mean() + (found.fake_logits > 0).mean()) / 2)
    beaten = np.sign(found.fake_logits[:, None] - found.real_logits[None])
    assert found.auc == pytest.approx((1 + beaten.mean()) / 2)
    assert (len(found.real_logits), len(found.fake_logits), found.num_learnt) == (50, 200, 200)


def test_the_surest_images_are_those_at_the_ends(dataset):
    found = compare_halves(dataset, foggy)
    most_real, most_generated = found.surest(3)
    assert torch.equal(most_real[0], found.real[int(found.real_logits.argmin())])
    assert torch.equal(most_generated[0], found.fake[int(found.fake_logits.argmax())])
    assert len(most_real) == len(most_generated) == 3


def test_equal_seeds_give_equal_results(dataset):
    first, second = (compare_halves(dataset, foggy).fake_logits for _ in range(2))
    assert np.array_equal(first, second)


def test_the_floor_tests_all_test_images_whatever_it_learns_from(dataset):
    config = EvaluateConfig(num_two_sample=100, two_sample_epochs=1)
    found = compare_real_images(dataset, config, device=CPU)
    assert (found.num_learnt, len(found.real), len(found.fake)) == (100, 200, 200)
    found = compare_real_images(dataset, dataclasses.replace(config, num_two_sample=300), device=CPU)
    assert found.num_learnt == 200  # half of the training images


def test_a_network_that_diverges_says_what_to_do(dataset):
    with pytest.raises(DivergedError, match=r"evaluate\.seed"):
        two_sample_test(
            (dataset.train.images[:200], dataset.train.images[200:]),
            (dataset.test.images[:200], dataset.test.images[200:]),
            dataclasses.replace(CONFIG, learning_rate=1e30),
            device=CPU,
        )

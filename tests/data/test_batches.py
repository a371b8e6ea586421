import dataclasses

import pytest
import torch

from dcgan.data.batches import Batches, mixed_seed, sample_labels, sample_latents, to_images
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import UsageError
from support import CPU


@pytest.fixture
def numbered() -> LabelledImages:
    """Fifty images, each telling its own number in every pixel."""
    numbers = torch.arange(50)
    return LabelledImages(numbers.to(torch.uint8)[:, None, None].expand(-1, 28, 28).contiguous(), numbers % 10)


def batches(data: LabelledImages, seed: int = 0) -> Batches:
    return Batches(data, batch_size=16, seed=seed, device=CPU)


def numbers_in(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_an_epoch_shows_every_image_at_most_once_and_full_batches_only(numbered):
    data = batches(numbered)
    seen = [number for step in range(data.steps_per_epoch) for number in numbers_in(data.batch(step)[0])]
    assert data.steps_per_epoch == 3
    assert len(seen) == len(set(seen)) == 48


def test_a_step_draws_the_same_images_with_their_labels_whatever_was_drawn_before(numbered):
    straight = batches(numbered)
    images, labels = [straight.batch(step) for step in range(8)][-1]
    assert [number % 10 for number in numbers_in(images)] == labels.tolist()
    torch.testing.assert_close(batches(numbered).batch(7), (images, labels), rtol=0, atol=0)


def test_epochs_and_seeds_shuffle_differently(numbered):
    data = batches(numbered)
    first = numbers_in(data.batch(0)[0])
    assert first != numbers_in(data.batch(3)[0])
    assert first != numbers_in(batches(numbered, seed=1).batch(0)[0])


def test_a_batch_larger_than_the_data_is_refused(numbered):
    with pytest.raises(UsageError, match="batch_size: 51 is more than the 50 training images"):
        Batches(numbered, batch_size=51, seed=0, device=CPU)


def test_pixels_become_images_between_minus_one_and_one():
    images = to_images(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1))
    torch.testing.assert_close(images.flatten(), torch.tensor([-1.0, -0.6, 1.0]))


def test_seeds_mix_into_different_seeds():
    seeds = {mixed_seed(seed, step) for seed in range(20) for step in range(100)}
    assert len(seeds) == 2000
    assert mixed_seed(1, 2) == mixed_seed(1, 2) < 2**63


def test_latents_follow_their_distribution(model_config):
    rng = torch.Generator().manual_seed(0)
    normal = sample_latents(5000, model_config, rng=rng)
    uniform = sample_latents(5000, dataclasses.replace(model_config, latent_distribution="uniform"), rng=rng)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert normal.abs().max() > 3
    assert uniform.std().item() == pytest.approx(1 / 3**0.5, abs=0.01)
    assert uniform.abs().max() <= 1


def test_labels_cover_all_digits_and_are_none_without_conditions(model_config):
    rng = torch.Generator().manual_seed(0)
    assert sample_labels(200, model_config, rng=rng).unique().tolist() == list(range(10))
    assert sample_labels(200, dataclasses.replace(model_config, conditional=False), rng=rng) is None

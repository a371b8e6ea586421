import math
from unittest.mock import Mock

import pytest
import torch

from dcgan.data.batches import mixed_seed
from dcgan.evaluation.samples import evaluation_rng, generate_samples, interpolate, sample_interpolations, sampler_of
from dcgan.gan.networks import build_generator
from dcgan.system.errors import BadDataError
from tiny_sampler import LATENT_DIM, sampler


def test_samples_are_a_function_of_the_seed_with_labels_in_turn(model_config):
    generator = build_generator(model_config).eval()
    generator.upsample[-2].weight.data.normal_(generator=torch.Generator().manual_seed(0))  # untrained, it draws grey
    first, again, other = (generate_samples(sampler_of(generator, model_config), count=100, seed=s) for s in (3, 3, 4))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.pixels.dtype == torch.uint8
    assert first.labels.tolist() == list(range(10)) * 10


def test_a_constant_generator_is_refused_by_name():
    with pytest.raises(BadDataError, match="a sampler outputs the same image 100 times"):
        generate_samples(sampler(sample=lambda latents, _: torch.full((len(latents), 28, 28), 7)), count=100, seed=0)


def test_a_generator_of_values_that_are_not_finite_is_refused(model_config):
    generator = build_generator(model_config).eval()
    next(generator.parameters()).data[0, 0] = math.nan
    with pytest.raises(BadDataError, match="dvc repro --force --single-item train"):
        generate_samples(sampler_of(generator, model_config), count=100, seed=0)


def test_evaluation_shares_no_seed_with_training_or_between_its_purposes():
    first = [evaluation_rng(seed, purpose).initial_seed() for seed in (0, 1) for purpose in ("samples", "floor")]
    assert len({*first, *(mixed_seed(seed, step) for seed in (0, 1) for step in range(1000))}) == 4 + 2000


@pytest.mark.parametrize(("distribution", "shortest"), [("normal", 1), ("uniform", 0.5**0.5)])
def test_an_interpolation_includes_both_ends_and_keeps_the_length_if_it_is_spherical(distribution, shortest):
    ends = torch.eye(2)
    path = interpolate(*ends, distribution, steps=7)
    assert path.shape == (7, 2)
    torch.testing.assert_close(path[[0, -1]], ends)
    lengths = path.norm(dim=1)
    assert (lengths.min(), lengths.max()) == pytest.approx((shortest, 1))


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0])
def test_between_latents_on_one_line_the_interpolation_is_linear(factor):
    start = torch.randn(8, generator=torch.Generator().manual_seed(0))
    found = [interpolate(start, factor * start, distribution) for distribution in ("normal", "uniform")]
    torch.testing.assert_close(*found)


def test_each_row_of_interpolations_has_its_label():
    sample = Mock(return_value=torch.zeros((120, 28, 28), dtype=torch.uint8))
    found = sample_interpolations(sampler(sample=sample), seed=0, rows=10)
    sample.assert_called_once()
    latents, labels = sample.call_args.args
    assert found.pixels.shape == (120, 28, 28)
    assert labels.reshape(10, 12).tolist() == [[digit] * 12 for digit in range(10)]
    assert (latents.reshape(10, 12, LATENT_DIM).diff(dim=1).norm(dim=2) > 0).all()

import dataclasses
import math

import pytest
import torch
from torch import nn

from dcgan.gan.inversion import project
from dcgan.system.errors import BadDataError


class Sketcher(nn.Module):
    """Draws what it is asked for in the rows of the label, shaded by the latents: no label can stand for another."""

    def __init__(self, latent_dim: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shade = nn.Parameter(0.3 * torch.randn(latent_dim, 28 * 28, generator=generator) / math.sqrt(latent_dim))

    def forward(self, latents, labels):
        images = (latents @ self.shade).reshape(-1, 1, 28, 28) - 0.5
        if labels is not None:
            rows = torch.arange(28).expand(len(labels), 28) // 3 == labels.unsqueeze(1)
            images = images + rows.reshape(-1, 1, 28, 1)
        return torch.tanh(images)


@pytest.fixture(params=["normal", "uniform"])
def model(request, model_config):
    return dataclasses.replace(model_config, latent_distribution=request.param)


@pytest.fixture
def generator(model):
    return Sketcher(model.latent_dim).eval()


def target_of(generator, model, *, label, seed=5):
    rng = torch.Generator().manual_seed(seed)
    if model.latent_distribution == "uniform":
        latents = torch.rand(1, model.latent_dim, generator=rng) * 2 - 1
    else:
        latents = torch.randn(1, model.latent_dim, generator=rng)
    with torch.no_grad():
        return generator(latents, None if label is None else torch.tensor([label]))[0]


def test_the_label_and_an_image_close_to_the_target_are_found(generator, model):
    target = target_of(generator, model, label=7)
    found = project(generator, model, target, steps=200)
    assert found.label == 7
    assert found.psnr > 30
    assert found.errors[0] > 20 * found.errors[-1]
    assert len(found.errors) == 201
    error = (found.found - target).square().mean().item()
    assert found.errors[-1].item() == pytest.approx(error, rel=1e-4)
    assert found.psnr == pytest.approx(10 * math.log10(2**2 / error), rel=1e-4)


def test_the_latents_draw_what_was_found(generator, model):
    found = project(generator, model, target_of(generator, model, label=2), steps=60)
    with torch.no_grad():
        drawn = generator(found.latents.unsqueeze(0), torch.tensor([found.label]))[0]
    torch.testing.assert_close(drawn, found.found)
    assert not torch.equal(found.start, found.found)


def test_latents_stay_where_the_generator_knows_them(generator, model):
    found = project(generator, model, torch.ones(1, 28, 28), steps=60)
    if model.latent_distribution == "normal":
        assert found.latents.norm().item() == pytest.approx(math.sqrt(model.latent_dim), rel=1e-5)
    else:
        assert found.latents.abs().max() <= 1


def test_every_category_of_infogan_is_tried_and_kept(model):
    """Its generator is blind to all but which of the first ten latents is largest."""

    class Categories(nn.Module):
        def __init__(self):
            super().__init__()
            self.shade = nn.Parameter(torch.linspace(-0.9, 0.9, 10))

        def forward(self, latents, _labels):
            shades = self.shade[latents[:, :10].argmax(dim=1)] + 0.01 * latents[:, 10].tanh()
            return shades.reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)

    infogan = dataclasses.replace(model, architecture="infogan", conditional=False)
    for category in range(10):
        target = torch.full((1, 28, 28), float(torch.linspace(-0.9, 0.9, 10)[category]))
        found = project(Categories().eval(), infogan, target, steps=20, restarts=1)
        assert found.latents[:10].argmax() == category
        assert found.psnr > 30


def test_a_generator_that_draws_no_numbers_is_told(generator, model):
    with torch.no_grad():
        generator.shade.fill_(math.nan)
    with pytest.raises(BadDataError, match="not finite"):
        project(generator, model, torch.zeros(1, 28, 28), steps=5)


def test_a_given_label_is_obeyed_and_one_is_not_asked_of_an_unconditional_generator(generator, model):
    target = target_of(generator, model, label=7)
    assert project(generator, model, target, label=3, steps=5).label == 3
    unconditional = dataclasses.replace(model, conditional=False)
    found = project(generator, unconditional, target_of(generator, unconditional, label=None), steps=200)
    assert found.label is None
    assert found.psnr > 30


def test_the_search_is_a_function_of_its_seed_and_leaves_the_generator_alone(generator, model):
    target, before = target_of(generator, model, label=4), generator.shade.detach().clone()
    one, same, other = (project(generator, model, target, steps=10, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.latents, same.latents)
    assert not torch.equal(one.latents, other.latents)
    assert torch.equal(generator.shade, before)
    assert generator.shade.grad is None


def test_more_starts_are_no_worse(generator, model):
    target = target_of(generator, model, label=4)
    few, many = (project(generator, model, target, steps=100, restarts=restarts) for restarts in (1, 8))
    assert many.psnr >= few.psnr - 1

import dataclasses

import pytest
import torch

from dcgan.core.networks import build_discriminator, build_generator


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("conditional", [True, False])
def test_generator_draws_28x28_images_in_range(model_config, conditional, batch_size):
    config = dataclasses.replace(model_config, conditional=conditional)
    labels = torch.arange(batch_size) if conditional else None
    images = build_generator(config).eval()(10 * torch.randn(batch_size, config.latent_dim), labels)
    assert images.shape == (batch_size, 1, 28, 28)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("conditional", [True, False])
def test_discriminator_gives_one_float32_logit_an_image(model_config, conditional, batch_size):
    config = dataclasses.replace(model_config, conditional=conditional)
    labels = torch.arange(batch_size) if conditional else None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = build_discriminator(config).eval()(torch.zeros(batch_size, 1, 28, 28), labels)
    assert logits.shape == (batch_size,)
    assert logits.dtype == torch.float32


def test_labels_change_what_is_drawn_and_how_it_is_judged(model_config):
    generator, discriminator = build_generator(model_config).eval(), build_discriminator(model_config).eval()
    latents, digits = torch.randn(1, model_config.latent_dim).expand(10, -1), torch.arange(10)
    assert len(generator(latents, digits).flatten(1).unique(dim=0)) == 10
    assert len(discriminator(torch.zeros(10, 1, 28, 28), digits).unique()) == 10


def test_projection_adds_the_features_agreement_with_the_label(model_config):
    discriminator = build_discriminator(model_config).eval()
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([0, 3, 3, 9])
    features = discriminator.maps(images).flatten(1)
    agreement = torch.stack([f @ discriminator.projection.weight[d] for f, d in zip(features, labels, strict=True)])
    expected = discriminator.head(features).squeeze(1) + agreement / features.shape[1] ** 0.5
    torch.testing.assert_close(discriminator(images, labels), expected)


def test_default_generator_has_the_recipes_size(model_config):
    config = dataclasses.replace(model_config, latent_dim=100, generator_channels=64)
    weights = sum(weight.numel() for weight in build_generator(config).parameters())
    linear, first, refinement, last = 110 * 6272, 128 * 64 * 16, 64 * 64 * 9, 64 * 16 + 1
    assert weights == linear + first + refinement + last + 2 * (128 + 64 + 64)  # and what the normalisations learn

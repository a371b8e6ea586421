"""What every test may need: a small configuration, and a data set that is learnt in seconds."""

import dataclasses

import pytest
import torch

from dcgan.core.config import GanConfig, LossConfig, ModelConfig, PenaltiesConfig, TrainConfig
from dcgan.core.dataset import LabelledImages


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    return ModelConfig(
        architecture="dcgan",
        conditional=True,
        latent_dim=16,
        latent_distribution="normal",
        generator_channels=8,
        generator_refinements=1,
        discriminator_channels=8,
    )


@pytest.fixture(scope="session")
def gan_config(model_config: ModelConfig) -> GanConfig:
    return GanConfig(
        model=model_config,
        loss=LossConfig(name="non_saturating"),
        penalties=PenaltiesConfig(r1=0.05, every=2),
        train=TrainConfig(
            seed=0,
            epochs=2,
            batch_size=16,
            generator_learning_rate=1e-3,
            discriminator_learning_rate=5e-4,
            learning_rate_decay_from=0.5,
            beta1=0.5,
            beta2=0.999,
            ema_halflife_kimg=1,
            device="cpu",
            precision="fp32",
            threads=None,
            checkpoint_every=4,
            sample_every=None,
            report_every=2,
        ),
    )


@pytest.fixture(scope="session")
def unconditional_config(gan_config: GanConfig) -> GanConfig:
    return dataclasses.replace(gan_config, model=dataclasses.replace(gan_config.model, conditional=False))


@pytest.fixture(scope="session")
def striped_images() -> LabelledImages:
    """100 noisy images in which a digit is told by the place of a bright bar: one of five rows, left or right."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 10
    images = torch.randint(0, 60, (100, 28, 28), generator=rng, dtype=torch.uint8)
    for image, digit in zip(images, labels.tolist(), strict=True):
        top, left = 3 + 5 * (digit % 5), 3 + 12 * (digit // 5)
        image[top : top + 2, left : left + 10] = 250
    return LabelledImages(images, labels)

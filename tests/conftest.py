"""What every test may need: a small configuration, a data set learnt in seconds, a tiny generator and its service."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dcgan.config.schema import GanConfig, LossConfig, ModelConfig, PenaltiesConfig, TrainConfig
from dcgan.data.dataset import LabelledImages
from running_service import Running
from service_client import Service
from tiny_onnx import write_model


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


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "generator.onnx")


@pytest.fixture
def service(model: Path) -> Iterator[Service]:
    with Service(model) as client:
        yield client


@pytest.fixture
def running(tmp_path: Path, model: Path) -> Iterator[Running]:
    """`dcgan serve` with that generator, in a process of its own."""
    with Running(tmp_path, model) as service:
        yield service

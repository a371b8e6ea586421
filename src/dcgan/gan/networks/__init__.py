"""Generators and discriminators, built from ModelConfig; the table says what each architecture is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from dcgan.config.schema import ModelConfig
from dcgan.gan.networks.autoencoder import AutoencoderDiscriminator, began_generator
from dcgan.gan.networks.auxiliary import CODES, LABELS, AuxiliaryTask
from dcgan.gan.networks.base import Discriminator, DiscriminatorOutput, Generator
from dcgan.gan.networks.convolutional import (
    all_conv_discriminator,
    all_conv_generator,
    coded_generator,
    dcgan_discriminator,
    dcgan_generator,
    maxpool_discriminator,
    two_layer_generator,
)
from dcgan.gan.networks.dense import mlp_discriminator, mlp_generator

__all__ = [
    "ARCHITECTURES",
    "AuxiliaryTask",
    "Discriminator",
    "DiscriminatorOutput",
    "Generator",
    "build_discriminator",
    "build_generator",
]


def init_convolution(module: nn.Module) -> None:
    """Convolutions start from N(0, 0.02), as in the DCGAN paper; everything else keeps PyTorch's defaults."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


@dataclass(frozen=True)
class Architecture:
    """What a GAN is made of."""

    generator: Callable[[ModelConfig], Generator]
    discriminator: Callable[[ModelConfig], Discriminator]
    auxiliary: AuxiliaryTask | None = None
    """What its discriminator predicts from the images besides."""
    init: Callable[[nn.Module], None] = init_convolution
    """How a layer starts."""


ARCHITECTURES = {
    "dcgan": Architecture(dcgan_generator, dcgan_discriminator),
    "dcgan_all_conv": Architecture(all_conv_generator, all_conv_discriminator),
    "dcgan_maxpool": Architecture(two_layer_generator, maxpool_discriminator),
    "mlp": Architecture(mlp_generator, mlp_discriminator),
    "acgan": Architecture(dcgan_generator, partial(dcgan_discriminator, task=LABELS), LABELS),
    "infogan": Architecture(coded_generator, partial(dcgan_discriminator, task=CODES), CODES),
    # Without normalisation, weights as small as `init_convolution`'s would let the signal die out.
    "began": Architecture(began_generator, AutoencoderDiscriminator, init=lambda _module: None),
}


def build_generator(config: ModelConfig) -> Generator:
    """An untrained generator: (latents [B, latent_dim], labels [B] or None) → images [B, 1, 28, 28] in [-1, 1]."""
    architecture = ARCHITECTURES[config.architecture]
    return architecture.generator(config).apply(architecture.init)


def build_discriminator(config: ModelConfig, *, spectral_norm: bool = False) -> Discriminator:
    """An untrained discriminator: (images [B, 1, 28, 28] in [-1, 1], labels [B] or None) → DiscriminatorOutput.

    Args:
        config: its shape.
        spectral_norm: whether each of its layers is divided by its largest singular value (Miyato et al. 2018,
            arXiv:1802.05957).
    """
    architecture = ARCHITECTURES[config.architecture]
    discriminator = architecture.discriminator(config).apply(architecture.init)
    if spectral_norm:
        for layer in [
            each for each in discriminator.modules() if isinstance(each, nn.Conv2d | nn.Linear | nn.Embedding)
        ]:
            with_spectral_norm(layer)
        discriminator.projection_divisor = 1.0  # the label's vectors are as short as the head's now
    return discriminator

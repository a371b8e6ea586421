"""Generator and discriminator families, built from ModelConfig.

The DCGAN pair follows Radford et al. 2016 (arXiv:1511.06434) scaled to 28x28, with the projection discriminator of
Miyato & Koyama 2018 (arXiv:1802.05637) when conditional.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcgan.core.config import NUM_CLASSES, ModelConfig


class Discriminator(nn.Module):
    """(images [B, 1, 28, 28] in [-1, 1], labels [B] or None) → logits float32 [B], positive for real."""

    maps: nn.Module
    """All before the head: images to feature maps [B, C, H, W]."""


def build_generator(config: ModelConfig) -> nn.Module:
    """An untrained generator: (latents [B, latent_dim], labels [B] or None) → images [B, 1, 28, 28] in [-1, 1]."""
    generator = DcganGenerator(config)
    generator.apply(_init_convolution)
    return generator


def build_discriminator(config: ModelConfig) -> Discriminator:
    """An untrained discriminator: (images [B, 1, 28, 28] in [-1, 1], labels [B] or None) → logits [B], real > 0."""
    discriminator = DcganDiscriminator(config)
    discriminator.apply(_init_convolution)
    return discriminator


class DcganGenerator(nn.Module):
    """Latents, beside the one-hot label if conditional, to 7x7 maps, then twice up to 28x28, refined at 14x14."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conditional = config.conditional
        width = config.generator_channels
        input_dim = config.latent_dim + (NUM_CLASSES if config.conditional else 0)
        self.stem = nn.Sequential(
            nn.Linear(input_dim, 2 * width * 7 * 7, bias=False),
            nn.Unflatten(1, (2 * width, 7, 7)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),  # 14x14
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *(layer for _ in range(config.generator_refinements) for layer in _refinement(width)),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),  # 28x28
            nn.Tanh(),
        )

    def forward(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Draw images [B, 1, 28, 28] in [-1, 1] from latents [B, latent_dim] and labels [B]."""
        if self.conditional:
            assert labels is not None, "a conditional generator needs labels"
            latents = torch.cat([latents, functional.one_hot(labels, NUM_CLASSES).to(latents.dtype)], dim=1)
        images: Tensor = self.upsample(self.stem(latents))
        return images


class DcganDiscriminator(Discriminator):
    """Three strided convolutions to features, then a linear head, plus the label's projection if conditional."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.discriminator_channels
        self.maps = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),  # 14x14
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),  # 7x7
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False),  # 4x4
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2),
        )
        self.num_features = 4 * width * 4 * 4
        self.head = nn.Linear(self.num_features, 1)
        self.projection = nn.Embedding(NUM_CLASSES, self.num_features) if config.conditional else None

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Judge images [B, 1, 28, 28] in [-1, 1] with labels [B]: logits float32 [B], positive for real."""
        features: Tensor = self.maps(images).flatten(1)
        logits: Tensor = self.head(features).squeeze(1)
        if self.projection is not None:
            assert labels is not None, "a conditional discriminator needs labels"
            agreement = (features * self.projection(labels)).sum(dim=1)
            logits = logits + agreement / math.sqrt(self.num_features)
        return logits.float()


def _refinement(width: int) -> list[nn.Module]:
    """A convolution that keeps the maps' size, with its normalisation."""
    return [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def _init_convolution(module: nn.Module) -> None:
    """Convolutions start from N(0, 0.02), as in the DCGAN paper; everything else keeps PyTorch's defaults."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)

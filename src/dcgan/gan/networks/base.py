"""What every generator and every discriminator has in common."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcgan.config.schema import ModelConfig


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of B images."""

    logits: Tensor
    """Float32 [B], higher for real; 0 need not be the boundary: BEGAN's are all negative."""
    auxiliary: Tensor | None = None
    """Float32 [B, G], acgan's logits of the label, or infogan's of the codes; others have none."""


class Generator(nn.Module):
    """(latents [B, latent_dim], labels [B] or None) → images [B, 1, 28, 28] in [-1, 1]."""

    def __init__(self, config: ModelConfig, *, stem: nn.Module, upsample: nn.Module) -> None:
        """Join `stem`, from latents and one-hot labels to feature maps, and `upsample`, from these to images."""
        super().__init__()
        self.conditional = config.conditional
        self.num_classes = config.num_classes
        self.stem = stem
        self.upsample = upsample

    def forward(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Draw images [B, 1, 28, 28] in [-1, 1] from latents [B, latent_dim] and labels [B]."""
        if self.conditional:
            assert labels is not None, "a conditional generator needs labels"
            latents = torch.cat([latents, functional.one_hot(labels, self.num_classes).to(latents.dtype)], dim=1)
        images: Tensor = self.upsample(self.stem(latents))
        return images


class Discriminator(nn.Module):
    """(images [B, 1, 28, 28] in [-1, 1], labels [B] or None) → DiscriminatorOutput."""

    maps: nn.Module
    """Images to feature maps [B, C, H, W]: all layers but the heads."""
    projection_divisor: float
    """What a label's projection is divided by."""


class HeadedDiscriminator(Discriminator):
    """Feature maps, a head for the logit with the label's projection if conditional, and an auxiliary head if any.

    The projection is that of Miyato & Koyama 2018 (arXiv:1802.05637).
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        maps: nn.Module,
        num_features: int,
        head: nn.Module | None = None,
        auxiliary_head: nn.Module | None = None,
    ) -> None:
        """Put together a discriminator.

        Args:
            config: says whether it is conditional.
            maps: images to feature maps with `num_features` numbers an image.
            num_features: see `maps`.
            head: features [B, num_features] to [B, 1]; None: a linear one.
            auxiliary_head: features [B, num_features] to [B, G]; with it, labels are predicted and no input.
        """
        super().__init__()
        self.maps = maps
        self.num_features = num_features
        self.head = head or nn.Linear(num_features, 1)
        is_conditional = config.conditional and auxiliary_head is None
        self.projection = nn.Embedding(config.num_classes, num_features) if is_conditional else None
        self.projection_divisor = math.sqrt(num_features)
        self.auxiliary_head = auxiliary_head

    def forward(self, images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        """Compare images [B, 1, 28, 28] in [-1, 1], with labels [B], to real ones."""
        features: Tensor = self.maps(images).flatten(1)
        logits: Tensor = self.head(features).squeeze(1)
        if self.projection is not None:
            assert labels is not None, "a conditional discriminator needs labels"
            logits = logits + (features * self.projection(labels)).sum(dim=1) / self.projection_divisor
        auxiliary = None if self.auxiliary_head is None else self.auxiliary_head(features).float()
        return DiscriminatorOutput(logits.float(), auxiliary)


def num_inputs(config: ModelConfig) -> int:
    """Numbers that a generator's first layer sees: the latent, beside the one-hot label if conditional."""
    return config.latent_dim + (config.num_classes if config.conditional else 0)


def dropout(config: ModelConfig) -> list[nn.Module]:
    """The layer that follows a discriminator's hidden layer, if any."""
    return [nn.Dropout(config.discriminator_dropout)] if config.discriminator_dropout else []

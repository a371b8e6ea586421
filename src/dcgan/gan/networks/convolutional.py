"""The DCGAN and its relatives on 28x28 images: they share convolutions and differ at the ends."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcgan.config.schema import NUM_CATEGORIES, ModelConfig
from dcgan.gan.networks.auxiliary import AuxiliaryTask
from dcgan.gan.networks.base import Generator, HeadedDiscriminator, dropout, num_inputs


def dcgan_generator(config: ModelConfig) -> Generator:
    """A linear layer to 7x7 maps, then twice up (Radford et al. 2016, arXiv:1511.06434, scaled to 28x28)."""
    width = config.generator_channels
    return Generator(config, stem=_linear_stem(num_inputs(config), 2 * width), upsample=_upsample(config))


def all_conv_generator(config: ModelConfig) -> Generator:
    """As `dcgan_generator`, but the latent is a 1x1 map that a transposed convolution spreads to 7x7."""
    width, inputs = config.generator_channels, num_inputs(config)
    stem = nn.Sequential(
        nn.Unflatten(1, (inputs, 1, 1)),
        nn.ConvTranspose2d(inputs, 2 * width, 7, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
    )
    return Generator(config, stem=stem, upsample=_upsample(config))


def two_layer_generator(config: ModelConfig) -> Generator:
    """As `dcgan_generator`, with a hidden layer of 16 times its width (1,024 units for 64) before the 7x7 maps."""
    width = config.generator_channels
    hidden = [nn.Linear(num_inputs(config), 16 * width, bias=False), nn.BatchNorm1d(16 * width), nn.ReLU()]
    stem = nn.Sequential(*hidden, *_linear_stem(16 * width, 2 * width))
    return Generator(config, stem=stem, upsample=_upsample(config))


def coded_generator(config: ModelConfig) -> Generator:
    """As `dcgan_generator`, but of the first ten latents only the largest counts, as infogan's category."""
    stem = nn.Sequential(_Category(), *_linear_stem(num_inputs(config), 2 * config.generator_channels))
    return Generator(config, stem=stem, upsample=_upsample(config))


def dcgan_discriminator(config: ModelConfig, *, task: AuxiliaryTask | None = None) -> HeadedDiscriminator:
    """Three strided convolutions, then a linear head, beside one for the auxiliary output if there is such."""
    features = _num_features(config)
    auxiliary_head = nn.Linear(features, task.num_auxiliary(config)) if task else None
    return HeadedDiscriminator(config, maps=_strided_maps(config), num_features=features, auxiliary_head=auxiliary_head)


def all_conv_discriminator(config: ModelConfig) -> HeadedDiscriminator:
    """Three strided convolutions, then a fourth that covers all of the 4x4 maps."""
    channels = 4 * config.discriminator_channels
    head = nn.Sequential(nn.Unflatten(1, (channels, 4, 4)), nn.Conv2d(channels, 1, 4), nn.Flatten())
    return HeadedDiscriminator(config, maps=_strided_maps(config), num_features=_num_features(config), head=head)


def maxpool_discriminator(config: ModelConfig) -> HeadedDiscriminator:
    """Two 5x5 convolutions, each halved by pooling, and a hidden layer of 32 times the width (1,024 units for 32)."""
    width = config.discriminator_channels
    maps = nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2),  # 14x14
        *dropout(config),
        nn.Conv2d(width, 2 * width, 5, padding=2, bias=not _normalization(config, 2 * width)),
        *_normalization(config, 2 * width),
        nn.LeakyReLU(0.2),
        nn.MaxPool2d(2),  # 7x7
        *dropout(config),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, 32 * width),
        nn.LeakyReLU(0.2),
        *dropout(config),
        nn.Unflatten(1, (32 * width, 1, 1)),
    )
    return HeadedDiscriminator(config, maps=maps, num_features=32 * width)


class _Category(nn.Module):
    """Latents [B, latent_dim] with the first ten replaced by 1 for the largest of them and 0 for the others."""

    def forward(self, latents: Tensor) -> Tensor:
        category = functional.one_hot(latents[:, :NUM_CATEGORIES].argmax(dim=1), NUM_CATEGORIES)
        return torch.cat([category.to(latents.dtype), latents[:, NUM_CATEGORIES:]], dim=1)


def _linear_stem(inputs: int, channels: int) -> nn.Sequential:
    """Latents to 7x7 maps."""
    return nn.Sequential(
        nn.Linear(inputs, channels * 7 * 7, bias=False),
        nn.Unflatten(1, (channels, 7, 7)),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _upsample(config: ModelConfig) -> nn.Sequential:
    """7x7 maps to images by two transposed convolutions, refined at 14x14."""
    width = config.generator_channels
    return nn.Sequential(
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),  # 14x14
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *(layer for _ in range(config.generator_refinements) for layer in _same_size_convolution(width)),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),  # 28x28
        nn.Tanh(),
    )


def _same_size_convolution(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def _strided_maps(config: ModelConfig) -> nn.Sequential:
    """Images to 4x4 maps by three strided convolutions; the first is not normalised, as in the DCGAN paper."""
    width = config.discriminator_channels
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1),  # 14x14
        nn.LeakyReLU(0.2),
        *dropout(config),
        *_halving(config, width, 2 * width, size=4),  # 7x7
        *_halving(config, 2 * width, 4 * width, size=3),  # 4x4
    )


def _halving(config: ModelConfig, channels_in: int, channels_out: int, *, size: int) -> list[nn.Module]:
    normalization = _normalization(config, channels_out)
    convolution = nn.Conv2d(channels_in, channels_out, size, stride=2, padding=1, bias=not normalization)
    return [convolution, *normalization, nn.LeakyReLU(0.2), *dropout(config)]


def _normalization(config: ModelConfig, channels: int) -> list[nn.Module]:
    """Over the batch, or over each image by itself (Ba et al. 2016, arXiv:1607.06450), or none."""
    if config.discriminator_normalization == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.GroupNorm(1, channels)] if config.discriminator_normalization == "layer" else []


def _num_features(config: ModelConfig) -> int:
    """Numbers in the 4x4 maps of `_strided_maps`."""
    return 4 * config.discriminator_channels * 4 * 4

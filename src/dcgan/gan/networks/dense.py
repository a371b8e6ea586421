"""The fully connected GAN (Goodfellow et al. 2014, arXiv:1406.2661): every pixel by itself, no neighbourhoods."""

from itertools import pairwise

from torch import nn

from dcgan.config.schema import IMAGE_SIZE, ModelConfig
from dcgan.gan.networks.base import Generator, HeadedDiscriminator, dropout, num_inputs

NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def mlp_generator(config: ModelConfig) -> Generator:
    """Three hidden layers, each twice as wide as the one before it: latent-256-512-1024-784 for 256."""
    width = config.generator_channels
    layers: list[nn.Module] = []
    for before, after in pairwise((num_inputs(config), width, 2 * width, 4 * width)):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    upsample = nn.Sequential(nn.Linear(4 * width, NUM_PIXELS), nn.Tanh(), nn.Unflatten(1, (1, IMAGE_SIZE, IMAGE_SIZE)))
    return Generator(config, stem=nn.Sequential(*layers), upsample=upsample)


def mlp_discriminator(config: ModelConfig) -> HeadedDiscriminator:
    """Three hidden layers, each half as wide as the one before it: 784-1024-512-256-1 for 256."""
    width = config.discriminator_channels
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((NUM_PIXELS, 4 * width, 2 * width, width)):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2), *dropout(config)]
    maps = nn.Sequential(*layers, nn.Unflatten(1, (width, 1, 1)))
    return HeadedDiscriminator(config, maps=maps, num_features=width)

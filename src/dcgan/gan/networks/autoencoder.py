"""BEGAN (Berthelot et al. 2017, arXiv:1703.10717): the discriminator is an autoencoder."""

from torch import Tensor, nn

from dcgan.config.schema import ModelConfig
from dcgan.gan.networks.base import Discriminator, DiscriminatorOutput, Generator, num_inputs

NUM_HIDDEN = 64
"""Width of the autoencoder's bottleneck."""


class AutoencoderDiscriminator(Discriminator):
    """Its logit is minus the mean absolute error of the reconstruction, which is better for real images."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.discriminator_channels
        self.maps = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),  # 14x14
            nn.ELU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),  # 7x7
            nn.ELU(),
        )
        self.squeeze = nn.Linear(2 * width * 7 * 7, NUM_HIDDEN)
        self.redraw = nn.Sequential(_spread(NUM_HIDDEN, width), _decode(width))

    def forward(self, images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        """Reconstruct images [B, 1, 28, 28] in [-1, 1]; labels are ignored."""
        del labels
        reconstruction = self.redraw(self.squeeze(self.maps(images).flatten(1)))
        return DiscriminatorOutput(-(images.float() - reconstruction.float()).abs().mean(dim=(1, 2, 3)))


def began_generator(config: ModelConfig) -> Generator:
    """The discriminator's decoder, from latents."""
    width = config.generator_channels
    return Generator(config, stem=_spread(num_inputs(config), width), upsample=_decode(width).append(nn.Tanh()))


def _spread(inputs: int, width: int) -> nn.Sequential:
    """Numbers to 7x7 maps."""
    return nn.Sequential(nn.Linear(inputs, 2 * width * 7 * 7), nn.Unflatten(1, (2 * width, 7, 7)))


def _decode(width: int) -> nn.Sequential:
    """7x7 maps to images by doubling twice; nothing is normalised.

    Without a bound on the output: most pixels are black, and where tanh is flat an autoencoder would draw them all so.
    """
    return nn.Sequential(
        nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        nn.ELU(),
        nn.Upsample(scale_factor=2),  # 14x14
        nn.Conv2d(2 * width, width, 3, padding=1),
        nn.ELU(),
        nn.Upsample(scale_factor=2),  # 28x28
        nn.Conv2d(width, 1, 3, padding=1),
    )

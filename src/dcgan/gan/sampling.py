"""Latents and labels to images, and images to grids."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcgan.config.schema import ModelConfig
from dcgan.data.batches import mixed_seed, sample_latents

GRID_COLUMNS = 10
Samples = tuple[Tensor, Tensor | None]
"""Images [N, 1, 28, 28] in [-1, 1] and their labels [N]; None if the model is unconditional."""
CHUNK = 250
"""Images drawn at once: enough to keep the hardware busy, little enough to stay in its caches."""


@torch.no_grad()
def sample_images(generator: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
    """Images float32 [N, 1, 28, 28] in [-1, 1] drawn by a generator in evaluation mode."""
    assert not generator.training, "BatchNorm would make the images depend on their neighbours"
    chunks = []
    for start in range(0, len(latents), CHUNK):
        chosen = slice(start, start + CHUNK)
        chunks.append(generator(latents[chosen], None if labels is None else labels[chosen]).float())
    return torch.cat(chunks)


def sample_from_seed(generator: nn.Module, config: ModelConfig, *, count: int, seed: int) -> Samples:
    """`count` images, a function of the seed: latents are drawn on the CPU, the same for every device.

    Labels come in turn, so that every class is drawn equally often.
    """
    device = next(generator.parameters()).device
    latents = sample_latents(count, config, rng=torch.Generator().manual_seed(mixed_seed(seed))).to(device)
    labels = torch.arange(count, device=device) % config.num_classes if config.conditional else None
    return sample_images(generator, latents, labels), labels


def image_grid(pixels: Tensor, *, columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Pixels uint8 [N, 28, 28] laid out row by row on a dark grey ground, uint8 [height, width]."""
    count, height, width = pixels.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), 48, np.uint8)
    for index, image in enumerate(pixels.cpu().numpy()):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid

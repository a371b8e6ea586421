"""Randomness and shuffled mini-batches as functions of (seed, step), from data that live on the device."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dcgan.config.schema import LatentDistribution, ModelConfig
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import UsageError


def mixed_seed(seed: int, *path: int) -> int:
    """A 63-bit seed for (seed, *path), another one for each, except that zeros at the end do not count."""
    state = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def to_images(pixels: Tensor) -> Tensor:
    """Pixels uint8 [N, 28, 28] (0 background, 255 ink) as images float32 [N, 1, 28, 28] in [-1, 1]."""
    return pixels.unsqueeze(1).float().div_(127.5).sub_(1)


def to_pixels(images: Tensor) -> Tensor:
    """Images [N, 1, 28, 28] in [-1, 1] as pixels uint8 [N, 28, 28]: 0 background, 255 ink."""
    return images.squeeze(1).add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`; where it has to be copied to a GPU, neither the CPU nor the GPU waits for the other."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class Batches:
    """Every epoch a new shuffle of the data; `batch(step)` is the same whether or not the run was interrupted.

    The last images of a shuffle that do not fill a batch are left out, so every batch has `batch_size` images.
    """

    def __init__(self, data: LabelledImages, *, batch_size: int, seed: int, device: torch.device) -> None:
        if len(data) < batch_size:
            raise UsageError(f"batch_size: {batch_size} is more than the {len(data)} training images")
        self.batch_size = batch_size
        self.steps_per_epoch = len(data) // batch_size
        self.device = device
        self._images = data.images.to(device)
        self._labels = data.labels.to(device)
        self._seed = seed
        self._shuffled_epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images float32 [batch_size, 1, 28, 28] in [-1, 1] and labels int64 [batch_size] of the given step."""
        images, labels = self.block(range(step, step + 1))
        return images[0], labels[0]

    def block(self, steps: range) -> tuple[Tensor, Tensor]:
        """Images [S, batch_size, 1, 28, 28] and labels [S, batch_size] of S steps."""
        chosen = to_device(torch.stack([self._chosen(step) for step in steps]), self.device)
        images = to_images(self._images[chosen.flatten()])
        return images.view(*chosen.shape, *images.shape[1:]), self._labels[chosen]

    def _chosen(self, step: int) -> Tensor:
        """Which images the batch of a step consists of."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._shuffled_epoch:
            rng = torch.Generator().manual_seed(mixed_seed(self._seed, epoch))
            self._order, self._shuffled_epoch = torch.randperm(len(self._labels), generator=rng), epoch
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]


class LatentSpace(Protocol):
    """What latents depend on; ModelConfig is one."""

    @property
    def latent_dim(self) -> int:
        """Numbers in a latent."""

    @property
    def latent_distribution(self) -> LatentDistribution:
        """Standard normal, or uniform in [-1, 1]."""


def sample_latents(count: int, config: LatentSpace, *, rng: torch.Generator) -> Tensor:
    """Latents float32 [count, latent_dim] from the model's distribution, on the generator's device."""
    shape, device = (count, config.latent_dim), rng.device
    if config.latent_distribution == "uniform":
        return torch.rand(shape, generator=rng, device=device).mul_(2).sub_(1)
    return torch.randn(shape, generator=rng, device=device)


def sample_labels(count: int, config: ModelConfig, *, rng: torch.Generator) -> Tensor | None:
    """Labels int64 [count], uniform over the classes; None for an unconditional model."""
    if not config.conditional:
        return None
    return torch.randint(config.num_classes, (count,), generator=rng, device=rng.device)

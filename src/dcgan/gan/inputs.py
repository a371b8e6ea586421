"""What changes from step to step, drawn in blocks on the CPU as functions of (seed, step): the same on every device."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Self

import torch
from torch import Tensor

from dcgan.config.schema import IMAGE_SIZE, GanConfig, TrainConfig
from dcgan.data.batches import Batches, mixed_seed, sample_labels, sample_latents, to_device
from dcgan.data.dataset import LabelledImages
from dcgan.gan.parallel import rank, world_size

BLOCK = 64
"""Steps that are drawn, and copied to the device, together."""


class StepInputs(NamedTuple):
    """All that a step reads besides the state, on its device."""

    real: Tensor
    """Images float32 [B, 1, 28, 28] in [-1, 1]."""
    labels: Tensor
    """Their digits, int64 [B]."""
    latents: Tensor
    """Of the fakes, float32 [B, latent_dim]."""
    fake_labels: Tensor | None
    """Int64 [B]; None for an unconditional model."""
    places: Tensor
    """Where between a real image and a fake the gradient penalty is taken, float32 [B, 1, 1, 1] in [0, 1)."""
    rates: Tensor
    """Learning rates of generator and discriminator, float64 [2]."""
    ema_weight: Tensor
    """The share of its way to the generator that the averaged generator goes, a float32 scalar in (0, 1]."""

    def share(self, rank: int, size: int) -> "StepInputs":
        """One of `size` equal shares of every batch, of rows for several steps."""
        of_images = ("real", "labels", "latents", "fake_labels", "places")
        parts = {name: rows.chunk(size, dim=1)[rank] for name in of_images if (rows := getattr(self, name)) is not None}
        return self._replace(**parts)

    def map(self, change: Callable[[Tensor], Tensor]) -> "StepInputs":
        """The same with every tensor changed."""
        return StepInputs(*(None if each is None else change(each) for each in self))  # type: ignore[arg-type]


class Inputs:
    """The inputs of every step; `inputs(step)` is the same whether or not the run was interrupted."""

    def __init__(self, batches: Batches, config: GanConfig, *, end: int, rollbacks: int = 0) -> None:
        """Prepare to draw.

        Args:
            batches: the training set, on the device of the inputs.
            config: `train.seed` is that of everything drawn.
            end: the last step, at which the learning rates reach zero.
            rollbacks: how often the rates are halved.
        """
        self._batches, self._config, self._end, self._rollbacks = batches, config, end, rollbacks
        self._number = -1
        self._block: StepInputs

    @classmethod
    def of_noise(cls, config: GanConfig, *, device: torch.device, end: int) -> Self:
        """Inputs with noise in place of images, to measure speed with."""
        size = config.train.batch_size
        noise = torch.randint(0, 256, (size, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)
        data = LabelledImages(noise, torch.arange(size) % config.model.num_classes)
        return cls(Batches(data, batch_size=size, seed=0, device=device), config, end=end)

    def __call__(self, step: int) -> StepInputs:
        """The inputs of the given step."""
        number, row = divmod(step, BLOCK)
        if number != self._number:
            self._number, self._block = number, self._draw(range(BLOCK * number, BLOCK * (number + 1)))
        return self._block.map(lambda rows: rows[row])

    def _draw(self, steps: range) -> StepInputs:
        """The inputs of these steps, each tensor with one row a step."""
        model, train, count = self._config.model, self._config.train, self._batches.batch_size
        latents, fake_labels, places = [], [], []
        for step in steps:
            rng = torch.Generator().manual_seed(mixed_seed(train.seed, step))
            if (labels := sample_labels(count, model, rng=rng)) is not None:
                fake_labels.append(labels)
            latents.append(sample_latents(count, model, rng=rng))
            places.append(torch.rand((count, 1, 1, 1), generator=rng))
        rates = [learning_rates(train, step, end=self._end, rollbacks=self._rollbacks) for step in steps]
        weights = [ema_weight(step, batch_size=count, halflife_kimg=train.ema_halflife_kimg) for step in steps]
        real, real_labels = self._batches.block(steps)
        drawn = StepInputs(
            real=real,
            labels=real_labels,
            latents=torch.stack(latents),
            fake_labels=torch.stack(fake_labels) if fake_labels else None,
            places=torch.stack(places),
            rates=torch.tensor(rates, dtype=torch.float64),
            ema_weight=torch.tensor(weights),
        )
        return drawn.share(rank(), world_size()).map(partial(to_device, device=self._batches.device))


def learning_rates(config: TrainConfig, step: int, *, end: int, rollbacks: int) -> tuple[float, float]:
    """Of generator and discriminator: constant at first, then falling linearly to zero at step `end`.

    Every rollback halves both.
    """
    decay_steps = end * (1 - config.learning_rate_decay_from)
    factor = min(1.0, max(0, end - step) / decay_steps) if decay_steps else 1.0
    factor *= 0.5**rollbacks
    return config.generator_learning_rate * factor, config.discriminator_learning_rate * factor


def ema_weight(step: int, *, batch_size: int, halflife_kimg: float) -> float:
    """How far the averaged generator moves towards the generator in a step, as a share of the way.

    The half-life starts at 5 % of the images seen so far, so that the average forgets the untrained weights quickly
    (Karras et al. 2020, arXiv:1912.04958); 0 copies the generator.
    """
    halflife = min(halflife_kimg * 1000, 0.05 * (step + 1) * batch_size)
    return 1 - 0.5 ** (batch_size / halflife) if halflife > 0 else 1.0

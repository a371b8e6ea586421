"""The digits of one shard, a block at a time: the same whichever process draws them, and in which order."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.generator import Generator
from dcgan.inference.latents import draw_latents
from dcgan.scale.shards.plan import ShardPlan
from dcgan.system.errors import Interrupted

BLOCK = 10_000
"""Digits that are encoded at once, and a row group of Parquet: what a worker holds in memory, whatever the shard."""
STEP = 1_024
"""Digits drawn between two questions whether to stop; a multiple of what the model draws in one call."""


class Block(NamedTuple):
    """Consecutive digits of a shard."""

    start: int
    """The number of the first in the whole set, from 0."""
    pixels: NDArray[np.uint8]
    """uint8 [N, 28, 28]: 0 background, 255 ink."""
    labels: NDArray[np.int64] | None
    """The digits asked for [N]; None if the model is unconditional."""


def shard_rng(plan: ShardPlan, index: int) -> np.random.Generator:
    """The random numbers of a shard: NumPy's way to independent streams from one seed."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(plan.seed, spawn_key=(index,))))


def draw_shard(
    generator: Generator, plan: ShardPlan, index: int, *, is_stopped: Callable[[], bool] = lambda: False
) -> Iterator[Block]:
    """The blocks of a shard, in order.

    Raises:
        BadDataError: the model failed.
        Interrupted: `is_stopped` said so.
    """
    rng, numbers = shard_rng(plan, index), plan.numbers(index)
    for start in numbers[::BLOCK]:
        block = range(start, min(start + BLOCK, numbers.stop))
        pixels = np.empty((len(block), 28, 28), np.uint8)
        labels = plan.labels(block)
        for first in range(0, len(block), STEP):
            if is_stopped():
                raise Interrupted(f"{plan.name(index)}: stopped")
            step = slice(first, min(first + STEP, len(block)))
            latents = draw_latents(generator.info.contract, step.stop - step.start, rng=rng)
            latents *= np.float32(plan.truncation)
            pixels[step] = generator.draw(latents, None if labels is None else labels[step])
        yield Block(start, pixels, labels)

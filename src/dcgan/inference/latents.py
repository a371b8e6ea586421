"""Latents as a function of the seed alone, on every machine, and interpolations between two of them."""

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.contract import Contract, LatentDistribution

Latents = NDArray[np.float32]

MIN_SINE = 1e-3
"""Between directions closer than this, an arc is a line to within float32."""


def draw_latents(contract: Contract, count: int, *, rng: np.random.Generator) -> Latents:
    """The next latents float32 [count, latent_dim] as the model was trained on them.

    Several calls give the rows that one call would give.
    """
    shape = (count, contract.latent_dim)
    if contract.latent_distribution == "uniform":
        return 2 * rng.random(shape, dtype=np.float32) - 1
    return rng.standard_normal(shape, dtype=np.float32)


def interpolate(start: Latents, end: Latents, *, steps: int, distribution: LatentDistribution) -> Latents:
    """`steps` latents [steps, latent_dim] from `start` [latent_dim] to `end`, both included.

    Spherical for normal latents, which keeps the length that the generator was trained on (Shoemake 1985; White 2016,
    arXiv:1609.04468); linear for uniform ones.
    """
    along = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    lengths = float(np.linalg.norm(start)), float(np.linalg.norm(end))
    cosine = float(start @ end) / (lengths[0] * lengths[1]) if all(lengths) else 1.0
    angle = float(np.arccos(np.clip(cosine, -1, 1)))
    if distribution == "uniform" or np.sin(angle) < MIN_SINE:
        return (1 - along) * start + along * end
    path: Latents = (np.sin((1 - along) * angle) * start + np.sin(along * angle) * end) / np.float32(np.sin(angle))
    return path

"""How far the manifolds of real and generated features cover each other, estimated from nearest neighbours.

Each set stands for the union of balls around its members that reach to their k-th nearest neighbour in the same set.
Values depend on dimension, number of samples and k: a figure means something only beside the same figure for real
images (the floor), since even two equal distributions do not reach 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.core.metrics.neighbours import checked_features, neighbourhood_radii, squared_distances

PRECISION_NEIGHBOURS = 3
COVERAGE_NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class ManifoldFigures:
    """All in [0, 1] but `density`, whose expectation is 1 for equal distributions."""

    precision: float
    """Share of samples inside a real ball, k = 3: do they look real? (Kynkäänniemi et al. 2019, arXiv:1904.06991)"""
    recall: float
    """Share of real images inside a sample's ball, k = 3: is everything drawn? (same source)"""
    density: float
    """Real balls around a sample, divided by k = 5; outliers count little. (Naeem et al. 2020, arXiv:2002.09797)"""
    coverage: float
    """Share of real balls that hold a sample, k = 5. (same source)"""


def compare_manifolds(real: Tensor, samples: Tensor) -> ManifoldFigures:
    """Compare features of real images [N, D] with features of samples [M, D].

    Raises:
        ValueError: fewer than six of either, or a feature that is not finite.
    """
    real = checked_features(real, at_least=COVERAGE_NEIGHBOURS + 1, name="real features")
    samples = checked_features(samples, at_least=COVERAGE_NEIGHBOURS + 1, name="sample features")
    narrow = neighbourhood_radii(real, k=PRECISION_NEIGHBOURS)
    wide = neighbourhood_radii(real, k=COVERAGE_NEIGHBOURS)
    around_samples = neighbourhood_radii(samples, k=PRECISION_NEIGHBOURS)

    in_real_ball, balls_held = 0, 0
    reached = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows, squared in squared_distances(samples, real):
        in_real_ball += int((squared <= narrow).any(dim=1).sum())
        reached |= (squared <= around_samples[rows, None]).any(dim=0)
        is_held = squared <= wide
        balls_held += int(is_held.sum())
        covered |= is_held.any(dim=0)
    return ManifoldFigures(
        precision=in_real_ball / len(samples),
        recall=float(reached.double().mean()),
        density=balls_held / (COVERAGE_NEIGHBOURS * len(samples)),
        coverage=float(covered.double().mean()),
    )

"""Precision, recall, density and coverage of generated features, from nearest neighbours.

The manifold of a set is the union of balls around its members, each up to its k-th nearest neighbour in that set.
Values depend on dimension, number of samples and k, and equal distributions do not reach 1: compare them with the same
metric of real images (the floor).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.evaluation.metrics.neighbours import checked_features, squared_distances

PRECISION_NEIGHBOURS = 3
COVERAGE_NEIGHBOURS = 5
MIN_MANIFOLD = COVERAGE_NEIGHBOURS + 1
"""Fewest features that have so many neighbours."""


@dataclass(frozen=True, kw_only=True)
class ManifoldFigures:
    """All in [0, 1] but `density`, whose expectation is 1 for equal distributions."""

    precision: float
    """Share of samples inside a real ball, k = 3: do they look real? (Kynkäänniemi et al. 2019, arXiv:1904.06991)"""
    recall: float
    """Share of real images inside a sample's ball, k = 3: do the samples cover them? (same source)"""
    density: float
    """Real balls around a sample, divided by k = 5; outliers count little. (Naeem et al. 2020, arXiv:2002.09797)"""
    coverage: float
    """Share of real balls that hold a sample, k = 5. (same source)"""


@dataclass(frozen=True)
class Manifold:
    """Features float64 [N, D] with the squared radii of their balls [N], for k = 3 and for k = 5."""

    features: Tensor
    narrow: Tensor
    wide: Tensor


def manifold_of(features: Tensor) -> Manifold:
    """The balls around features [N, D].

    Raises:
        ValueError: fewer than six, or one that is not finite.
    """
    features = checked_features(features, at_least=MIN_MANIFOLD, name="features").double()
    # A row's own distance, 0, is the smallest of it (or equal to a twin's, which changes nothing).
    rows = (squared for _, squared in squared_distances(features, features))
    nearest = torch.cat([each.topk(MIN_MANIFOLD, largest=False).values for each in rows])
    return Manifold(features, nearest[:, PRECISION_NEIGHBOURS], nearest[:, COVERAGE_NEIGHBOURS])


def compare_manifolds(real: Manifold, samples: Manifold) -> ManifoldFigures:
    """How well the samples keep to the real images' manifold, and how much of it they reach."""
    in_real_ball, balls_held = 0, 0
    reached = torch.zeros(len(real.features), dtype=torch.bool)
    covered = torch.zeros(len(real.features), dtype=torch.bool)
    for rows, squared in squared_distances(samples.features, real.features):
        in_real_ball += int((squared <= real.narrow).any(dim=1).sum())
        reached |= (squared <= samples.narrow[rows, None]).any(dim=0)
        is_held = squared <= real.wide
        balls_held += int(is_held.sum())
        covered |= is_held.any(dim=0)
    count = len(samples.features)
    return ManifoldFigures(
        precision=in_real_ball / count,
        recall=float(reached.double().mean()),
        density=balls_held / (COVERAGE_NEIGHBOURS * count),
        coverage=float(covered.double().mean()),
    )

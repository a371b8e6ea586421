"""Distances and nearest neighbours among sets of features."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 1000
"""Queries compared at once: their distances to 10,000 others take 80 MB."""


class Neighbours(NamedTuple):
    """The nearest of some others to each query: `distances` float64 [N, k], ascending, and `indices` int64 [N, k]."""

    distances: Tensor
    indices: Tensor


def checked_features(features: Tensor, *, at_least: int, name: str) -> Tensor:
    """Features [N, D] as they are.

    Raises:
        ValueError: they are not [N, D], fewer than `at_least`, or one of them is not finite.
    """
    if features.ndim != 2 or len(features) < at_least:
        raise ValueError(f"{name}: expected [N, D] with N ≥ {at_least}, found shape {tuple(features.shape)}")
    if not torch.isfinite(features).all():
        raise ValueError(f"{name}: some are not finite")
    return features


def squared_distances(queries: Tensor, others: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared Euclidean distances of queries [N, D] to others [M, D], as (rows, [rows, M]) chunk by chunk."""
    norms = others.square().sum(dim=1)
    for start in range(0, len(queries), CHUNK):
        rows = queries[start : start + CHUNK]
        # |a - b|² = |a|² + |b|² - 2·a·b; rounding may make it slightly negative.
        squared = torch.addmm(norms, rows, others.T, alpha=-2).add_(rows.square().sum(dim=1, keepdim=True))
        yield slice(start, start + len(rows)), squared.clamp_(min=0)


def nearest_neighbours(queries: Tensor, others: Tensor, *, k: int = 1) -> Neighbours:
    """The k nearest of others [M, D] to each of queries [N, D]; searched in their precision, measured in float64."""
    centre = others.mean(dim=0)  # squares of small numbers lose fewer digits
    found = [chunk.topk(k, largest=False).indices for _, chunk in squared_distances(queries - centre, others - centre)]
    indices = torch.cat(found)
    distances = torch.stack([(queries.double() - others[row].double()).norm(dim=1) for row in indices.T], dim=1)
    distances, order = distances.sort(dim=1)
    return Neighbours(distances, indices.gather(1, order))

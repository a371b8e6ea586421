"""Authenticity: whether samples copy training images, by the distances to their nearest neighbours."""

from typing import NamedTuple

import torch
from torch import Tensor

from dcgan.evaluation.metrics.neighbours import checked_features, nearest_neighbours


class TrainingNeighbours(NamedTuple):
    """The training image nearest to each of N queries."""

    distances: Tensor
    """Float64 [N]."""
    indices: Tensor
    """Int64 [N], into the training set."""
    is_authentic: Tensor
    """Bool [N]: the query is further from its nearest training image than that image is from its own nearest
    neighbour in the training set (Alaa et al. 2022, arXiv:2102.08921)."""

    @property
    def authenticity(self) -> float:
        """The share of authentic queries, in [0, 1]."""
        return float(self.is_authentic.double().mean())

    @property
    def median_distance(self) -> float:
        """The median distance to the nearest training image."""
        return float(self.distances.median())


def training_neighbours(queries: Tensor, training: Tensor) -> TrainingNeighbours:
    """The nearest of `training` [M, D] to each of `queries` [N, D], features or flat pixels.

    Raises:
        ValueError: fewer than two training images, no query, or a value that is not finite.
    """
    queries = checked_features(queries, at_least=1, name="queries")
    training = checked_features(training, at_least=2, name="training")
    distances, indices = (found[:, 0] for found in nearest_neighbours(queries, training))
    originals, position = torch.unique(indices, return_inverse=True)
    # The nearest training image is the image itself, or an equal one, at distance 0; the second is its neighbour.
    spacing = nearest_neighbours(training[originals], training, k=2).distances[:, 1]
    return TrainingNeighbours(distances, indices, distances > spacing[position])

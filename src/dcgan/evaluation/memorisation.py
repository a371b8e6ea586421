"""Whether the generator repeats training images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan.config.schema import NUM_CLASSES
from dcgan.data.dataset import LabelledImages
from dcgan.evaluation.metrics.authenticity import TrainingNeighbours, training_neighbours


@dataclass(frozen=True, kw_only=True)
class MemorisationFigures:
    """Samples against held-out images, both against the training set, in one space (pixels or features)."""

    num_queries: int
    """Of samples, and of held-out images."""
    samples: TrainingNeighbours
    held_out: TrainingNeighbours


def compare_authenticity(samples: Tensor, *, held_out: Tensor, training: Tensor, limit: int) -> MemorisationFigures:
    """Compare at most `limit` samples [N, D] with as many held-out images [M, D] by their neighbours in [T, D]."""
    count = min(limit, len(samples), len(held_out))
    return MemorisationFigures(
        num_queries=count,
        samples=training_neighbours(samples[:count], training),
        held_out=training_neighbours(held_out[:count], training),
    )


def closest_pairs(
    samples: Tensor, training: LabelledImages, neighbours: TrainingNeighbours, *, per_digit: int
) -> Tensor:
    """Of each digit the samples nearest to a training image of it, each with its neighbour: uint8 [count, 2, 28, 28].

    Overall the closest would all be ones: they have the fewest ways to differ.
    """
    order = neighbours.distances.argsort()
    digits = training.labels[neighbours.indices[order]]
    closest = torch.cat([order[digits == digit][:per_digit] for digit in range(NUM_CLASSES)])
    return torch.stack([samples[closest], training.images[neighbours.indices[closest]]], dim=1)

"""Kernel distance (squared MMD) between two sets of features; `kcd` on the features of the digit classifier."""

import torch
from torch import Tensor

from dcgan.evaluation.metrics.neighbours import CHUNK, checked_features


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy between features [N, D] and [M, D].

    E[k(a, a')] + E[k(b, b')] - 2·E[k(a, b)] over distinct pairs, with the cubic kernel k(x, y) = (x·y/D + 1)³
    (Bińkowski et al. 2018, arXiv:1801.01401). Its expectation is 0 for equal distributions whatever the number of
    samples, so single values may be slightly negative.

    Raises:
        ValueError: fewer than two of either, or a feature that is not finite.
    """
    a, b = (checked_features(each, at_least=2, name="features").double() for each in (a, b))
    return _mean_within(a) + _mean_within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def _mean_within(features: Tensor) -> float:
    count, dim = features.shape
    diagonal = float((features.square().sum(dim=1) / dim + 1).pow(3).sum())
    return (_kernel_sum(features, features) - diagonal) / (count * (count - 1))


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    chunks = (a[start : start + CHUNK] for start in range(0, len(a), CHUNK))
    return float(torch.stack([(rows @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum() for rows in chunks]).sum())

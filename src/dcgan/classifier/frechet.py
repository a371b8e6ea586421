"""Fréchet distance between two sets of features, from their means and covariances.

With the features of this project's own digit classifier it is `fcd` (Fréchet classifier distance): comparable only
under the same classifier and the same two counts, and never to be called FID.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class FeatureStatistics(NamedTuple):
    """The sufficient statistics: `mean` float64 [D] and `covariance` float64 [D, D] (unbiased)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def feature_statistics(features: ArrayLike) -> FeatureStatistics:
    """Statistics of features [N, D], accumulated in float64.

    Raises:
        ValueError: fewer than two features, or one that is not finite.
    """
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"features: expected [N, D] with N ≥ 2, found shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("features: some are not finite")
    return FeatureStatistics(rows.mean(axis=0), np.cov(rows, rowvar=False, ddof=1).reshape(rows.shape[1], -1))


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|μₐ - μ_b|² + tr(Σₐ + Σ_b - 2·(Σₐ Σ_b)^½), 0 or more (Dowson & Landau 1982; Heusel et al. 2017).

    The trace of the root comes from the eigenvalues of the symmetric Σₐ^½ Σ_b Σₐ^½, which stays real and stable where
    a covariance is singular.
    """
    root = _symmetric_root(a.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    trace_of_root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    shift = a.mean - b.mean
    distance = shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * trace_of_root
    return max(float(distance), 0.0)  # in this order not-a-number stays one


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(eigenvalues, 0, None))) @ vectors.T
    return root

"""Calibration of a binary classifier, from scikit-learn's reliability curve."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Reliability(NamedTuple):
    """The reliability curve: one value for each bin that is not empty, float64 [B] each."""

    confidence: NDArray[np.float64]
    """Mean predicted probability of being real."""
    share_real: NDArray[np.float64]
    weight: NDArray[np.float64]
    """Share of all images; the sum is 1."""

    @property
    def error(self) -> float:
        """Expected calibration error: weighted mean of |share_real - confidence|, in [0, 1] (arXiv:1706.04599)."""
        return float(self.weight @ np.abs(self.share_real - self.confidence))


def reliability(is_real: NDArray[np.bool_], probabilities: NDArray[np.float64], *, num_bins: int = 15) -> Reliability:
    """The reliability curve of probabilities [N] of being real, in bins of equal width over [0, 1]."""
    from sklearn.calibration import calibration_curve

    share_real, confidence = calibration_curve(is_real, probabilities, n_bins=num_bins)
    bins = np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], probabilities)  # as scikit-learn assigns them
    counts = np.bincount(bins)
    return Reliability(confidence, share_real, counts[counts > 0] / len(probabilities))

"""How well the discriminator tells real from fake images that it has not seen."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Logits = NDArray[np.float64]


class RocCurve(NamedTuple):
    """One point a threshold, from (0, 0) to (1, 1): both rates are float64 [T]."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]


def accuracy_at_zero(real_logits: Logits, fake_logits: Logits) -> float:
    """The mean of the shares of real logits [N] above 0 and of fake logits [M] not above it, in [0, 1]."""
    return float(((real_logits > 0).mean() + (fake_logits <= 0).mean()) / 2)


def roc_curve(real_logits: Logits, fake_logits: Logits) -> RocCurve:
    """The receiver operating characteristic of calling real what lies above a threshold."""
    logits = np.concatenate([real_logits, fake_logits])
    is_real = np.concatenate([np.ones(len(real_logits)), np.zeros(len(fake_logits))])
    order = np.argsort(-logits, kind="stable")
    # Equal logits fall on one side of any threshold together: only the last of each tie is a point.
    ends = np.append(np.flatnonzero(np.diff(logits[order])), len(logits) - 1)
    true_positives = np.cumsum(is_real[order])[ends]
    false_positives = ends + 1 - true_positives
    return RocCurve(
        false_positive_rate=np.append(0.0, false_positives / len(fake_logits)),
        true_positive_rate=np.append(0.0, true_positives / len(real_logits)),
    )


def roc_auc(curve: RocCurve) -> float:
    """The area under the curve: the chance that a real image gets the higher logit than a fake one, in [0, 1]."""
    return float(np.trapezoid(curve.true_positive_rate, curve.false_positive_rate))


class Reliability(NamedTuple):
    """What became of the probabilities in each of B equally wide bins that holds any: float64 [B] each."""

    confidence: NDArray[np.float64]
    """Mean probability of being real."""
    share_real: NDArray[np.float64]
    weight: NDArray[np.float64]
    """Share of all images, where real and fake ones weigh the same in all; the sum is 1."""


def reliability(real_logits: Logits, fake_logits: Logits, *, num_bins: int = 15) -> Reliability:
    """The probabilities σ(logit) against how many of the images are real, in bins of equal width over [0, 1]."""
    probabilities, is_real, weights = _judged(real_logits, fake_logits)
    bins = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    weight: Logits = np.bincount(bins, weights, num_bins).astype(np.float64)
    held = weight > 0
    return Reliability(
        confidence=np.bincount(bins, weights * probabilities, num_bins)[held] / weight[held],
        share_real=np.bincount(bins, weights * is_real, num_bins)[held] / weight[held],
        weight=weight[held],
    )


def expected_calibration_error(curve: Reliability) -> float:
    """The weighted mean of |share of real images - confidence|, in [0, 1] (Guo et al. 2017, arXiv:1706.04599)."""
    return float((curve.weight * np.abs(curve.share_real - curve.confidence)).sum())


def brier_score(real_logits: Logits, fake_logits: Logits) -> float:
    """The mean squared error of σ(logit) as the probability of being real, in [0, 1]; 0.25 for a constant ½.

    Real and fake images weigh the same in all, however many there are of either.
    """
    probabilities, is_real, weights = _judged(real_logits, fake_logits)
    return float((weights * np.square(probabilities - is_real)).sum())


def _judged(real_logits: Logits, fake_logits: Logits) -> tuple[Logits, Logits, Logits]:
    """Of every image: the probability of being real, 1 or 0 for what it is, and its weight; the weights' sum is 1."""
    counts = [len(real_logits), len(fake_logits)]
    probabilities = expit(np.concatenate([real_logits, fake_logits]))
    return probabilities, np.repeat([1.0, 0.0], counts), np.repeat([0.5 / count for count in counts], counts)

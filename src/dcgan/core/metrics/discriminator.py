"""How well the discriminator tells real from fake images that it has not seen."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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

"""How much of the digits a linear classifier finds in features: the DCGAN paper's use of a discriminator."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcgan.config.schema import NUM_CLASSES

MAX_ITERATIONS = 30
"""More move the accuracy by no more than 0.002."""


def probe_accuracy(
    features: Tensor, labels: Tensor, *, test_features: Tensor, test_labels: Tensor, weight_decay: float = 1.0
) -> float:
    """The share of test images, in [0, 1], that a softmax regression on the features reads as labelled.

    It minimises Σ cross-entropy + weight_decay·½|W|² by L-BFGS, from features scaled to mean 0 and deviation 1.

    Args:
        features: [N, F], to learn from.
        labels: int64 [N].
        test_features: [M, F].
        test_labels: int64 [M].
        weight_decay: strength of the ridge, for N images together.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0)
    deviation = torch.where(deviation > 0, deviation, 1)
    weights, bias = fit_softmax_regression((features - mean) / deviation, labels, weight_decay=weight_decay)
    logits = torch.addmm(bias, (test_features - mean) / deviation, weights)
    return float((logits.argmax(dim=1) == test_labels).double().mean())


def fit_softmax_regression(
    features: Tensor, labels: Tensor, *, weight_decay: float, max_iterations: int = MAX_ITERATIONS
) -> tuple[Tensor, Tensor]:
    """Weights [F, 10] and bias [10] that minimise Σ cross-entropy + weight_decay·½|W|² over features [N, F]."""
    shape = (features.shape[1] + 1, NUM_CLASSES)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        both = torch.from_numpy(flat).to(features.dtype).reshape(shape).requires_grad_()
        logits = torch.addmm(both[-1], features, both[:-1])
        loss = cross_entropy(logits, labels) + weight_decay / 2 * both[:-1].square().sum() / len(features)
        (gradient,) = torch.autograd.grad(loss, both)
        return float(loss.detach()), gradient.double().numpy().ravel()

    start = np.zeros(shape[0] * shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": max_iterations})
    fitted = torch.from_numpy(found.x).to(features.dtype).reshape(shape)
    return fitted[:-1], fitted[-1]

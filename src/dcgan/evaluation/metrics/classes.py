"""Metrics on the classes that a classifier predicts: their shares, and a score in the form of the Inception score."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan.config.schema import NUM_CLASSES


def class_shares(digits: NDArray[np.int64], num_classes: int = NUM_CLASSES) -> NDArray[np.float64]:
    """The share of each of C classes among `digits` [N], float64 [C] with sum 1."""
    shares: NDArray[np.float64] = np.bincount(digits, minlength=num_classes) / len(digits)
    return shares


def class_divergence(shares: NDArray[np.float64]) -> float:
    """Kullback-Leibler divergence of shares [C] from equal ones in nats: 0 if all are equal, log C for one digit."""
    present = shares[shares > 0]
    return float((present * np.log(present * len(shares))).sum())


def classifier_score(logits: Tensor) -> float:
    """exp(E[KL(p(y|x) ‖ p(y))]) of logits [N, C], from 1 to C; C for clear digits in equal shares.

    The form of the Inception score (Salimans et al. 2016, arXiv:1606.03498) with this project's classifier.
    """
    log_given = torch.log_softmax(logits.double(), dim=1)
    given = log_given.exp()
    marginal = given.mean(dim=0)
    return math.exp(float((given * log_given).sum(dim=1).mean() - torch.special.xlogy(marginal, marginal).sum()))

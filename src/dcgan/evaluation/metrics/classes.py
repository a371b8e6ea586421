"""What the digit classifier reads in the samples."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan.config.schema import NUM_CLASSES


def class_shares(digits: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each digit 0..9 among `digits` [N], float64 [10] with sum 1."""
    counts = np.bincount(digits, minlength=NUM_CLASSES)
    shares: NDArray[np.float64] = counts / len(digits)
    return shares


def class_divergence(shares: NDArray[np.float64]) -> float:
    """Kullback-Leibler divergence of shares [10] from equal ones in nats: 0 if all are equal, log 10 for one digit."""
    present = shares[shares > 0]
    return float((present * np.log(present * len(shares))).sum())


def confusion_matrix(asked: NDArray[np.int64], read: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often digit i was asked for and digit j was read, int64 [10, 10], from two arrays [N]."""
    matrix = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    np.add.at(matrix, (asked, read), 1)
    return matrix


def label_accuracy(confusion: NDArray[np.int64]) -> float:
    """The share of samples, in [0, 1], that are read as the digit asked for, from a confusion matrix [10, 10]."""
    return float(np.trace(confusion) / confusion.sum())


def label_accuracy_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same share for each digit asked for, float64 [10]; not a number for a digit that nobody asked for."""
    asked = confusion.sum(axis=1)
    shares: NDArray[np.float64] = np.where(asked > 0, np.diagonal(confusion) / np.maximum(asked, 1), math.nan)
    return shares


def classifier_score(logits: Tensor) -> float:
    """exp(E[KL(p(y|x) ‖ p(y))]) of logits [N, 10], from 1 to 10: clear digits, all of them.

    The form of the Inception score (Salimans et al. 2016, arXiv:1606.03498) with this project's classifier.
    """
    log_given = torch.log_softmax(logits.double(), dim=1)
    given = log_given.exp()
    marginal = given.mean(dim=0)
    return math.exp(float((given * log_given).sum(dim=1).mean() - torch.special.xlogy(marginal, marginal).sum()))

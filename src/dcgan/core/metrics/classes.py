"""What the digit classifier reads in the samples."""

import numpy as np
from numpy.typing import NDArray

from dcgan.core.config import NUM_CLASSES


def class_shares(digits: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each digit 0..9 among `digits` [N], float64 [10] with sum 1."""
    counts = np.bincount(digits, minlength=NUM_CLASSES)
    shares: NDArray[np.float64] = counts / len(digits)
    return shares


def confusion_matrix(asked: NDArray[np.int64], read: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often digit i was asked for and digit j was read, int64 [10, 10], from two arrays [N]."""
    matrix = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    np.add.at(matrix, (asked, read), 1)
    return matrix


def read_as_asked(asked: NDArray[np.int64], read: NDArray[np.int64]) -> float:
    """The share of samples, in [0, 1], that are read as the digit asked for, from two arrays [N]."""
    return float((asked == read).mean())

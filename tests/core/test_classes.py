import numpy as np
from sklearn.metrics import confusion_matrix as reference_confusion

from dcgan.core.metrics.classes import class_shares, confusion_matrix, read_as_asked


def test_shares_count_every_digit_even_those_never_read():
    shares = class_shares(np.array([0, 0, 9, 3]))
    assert shares.tolist() == [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25]


def test_confusion_equals_the_reference_with_asked_in_rows():
    rng = np.random.default_rng(0)
    asked, read = rng.integers(10, size=500), rng.integers(10, size=500)
    assert (confusion_matrix(asked, read) == reference_confusion(asked, read, labels=range(10))).all()
    assert confusion_matrix(np.array([2]), np.array([7]))[2, 7] == 1


def test_read_as_asked_is_the_share_that_agrees():
    assert read_as_asked(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.75

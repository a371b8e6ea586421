import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import confusion_matrix as reference_confusion

from dcgan.evaluation.metrics.classes import (
    class_divergence,
    class_shares,
    classifier_score,
    confusion_matrix,
    label_accuracy,
    label_accuracy_per_class,
)


def test_shares_count_every_digit_even_those_never_read():
    shares = class_shares(np.array([0, 0, 9, 3]))
    assert shares.tolist() == [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25]


def test_confusion_equals_the_reference_with_asked_in_rows():
    rng = np.random.default_rng(0)
    asked, read = rng.integers(10, size=500), rng.integers(10, size=500)
    assert (confusion_matrix(asked, read) == reference_confusion(asked, read, labels=range(10))).all()
    assert confusion_matrix(np.array([2]), np.array([7]))[2, 7] == 1


def test_read_as_asked_is_the_share_that_agrees_in_all_and_for_each_digit():
    confusion = confusion_matrix(np.array([1, 1, 3, 4]), np.array([1, 2, 3, 5]))
    assert label_accuracy(confusion) == 0.5
    each = label_accuracy_per_class(confusion)
    assert (each[1], each[3], each[4]) == (0.5, 1, 0)
    assert np.isnan(each[[0, 2, 5, 6, 7, 8, 9]]).all()


def test_divergence_equals_scipys_and_grows_from_none_to_log_ten():
    one_digit = np.eye(10)[3]
    shares = [share * one_digit + (1 - share) * 0.1 for share in (0, 0.2, 0.5, 0.9, 1)]
    found = [class_divergence(each) for each in shares]
    assert found == pytest.approx([entropy(each, np.full(10, 0.1)) for each in shares], abs=1e-12)
    assert (found[0], found[-1]) == pytest.approx((0, math.log(10)), abs=1e-12)
    assert found == sorted(found)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of its memory, and that one split has no deviation
def test_classifier_score_equals_torchmetrics():
    from torchmetrics.image.inception import InceptionScore

    class Logits(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1).double() / 20

    images = torch.randint(0, 256, (400, 10, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reference = InceptionScore(feature=Logits(), splits=1)
    reference.update(images)
    assert classifier_score(Logits()(images)) == pytest.approx(reference.compute()[0].item(), rel=1e-5)


def test_classifier_score_is_ten_for_sure_and_balanced_digits_and_one_without_either():
    sure = 1000 * torch.eye(10).repeat(5, 1)
    assert classifier_score(sure) == pytest.approx(10)
    assert classifier_score(torch.zeros(50, 10)) == pytest.approx(1)  # no idea
    assert classifier_score(sure[:1].repeat(50, 1)) == pytest.approx(1)  # one digit only


def test_classifier_score_falls_as_the_reading_gets_unsure():
    logits = torch.eye(10).repeat(20, 1)
    scores = [classifier_score(scale * logits) for scale in (20, 4, 2, 1)]
    assert scores == sorted(scores, reverse=True)

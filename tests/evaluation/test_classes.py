import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from dcgan.evaluation.metrics.classes import class_divergence, class_shares, classifier_score


def test_shares_count_every_digit_even_those_never_predicted():
    shares = class_shares(np.array([0, 0, 9, 3]))
    assert shares.tolist() == [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25]


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


def test_classifier_score_falls_from_ten_for_clear_balanced_digits_to_one():
    logits = torch.eye(10).repeat(5, 1)
    scores = [classifier_score(scale * logits) for scale in (1000, 20, 4, 2, 1, 0)]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1]) == pytest.approx((10, 1))
    assert classifier_score(1000 * logits[:1].repeat(50, 1)) == pytest.approx(1)  # one digit only

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as reference_curve

from dcgan.core.metrics.discriminator import accuracy_at_zero, roc_auc, roc_curve


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, 300).round(1), rng.normal(-0.5, 1, 200).round(1)  # rounded: many ties


def test_accuracy_is_the_mean_of_both_shares():
    assert accuracy_at_zero(np.array([1.0, 2.0, -1.0, 3.0]), np.array([-1.0, 0.0])) == pytest.approx((0.75 + 1) / 2)


def test_area_equals_the_reference_with_ties(logits):
    real, fake = logits
    truth = np.r_[np.ones(len(real)), np.zeros(len(fake))]
    assert roc_auc(roc_curve(real, fake)) == pytest.approx(roc_auc_score(truth, np.r_[real, fake]))


def test_curve_equals_the_reference(logits):
    real, fake = logits
    truth = np.r_[np.ones(len(real)), np.zeros(len(fake))]
    false_positives, true_positives, _ = reference_curve(truth, np.r_[real, fake], drop_intermediate=False)
    curve = roc_curve(real, fake)
    np.testing.assert_allclose(curve.false_positive_rate, false_positives)
    np.testing.assert_allclose(curve.true_positive_rate, true_positives)


def test_separated_logits_have_area_one_and_equal_ones_a_half():
    assert roc_auc(roc_curve(np.array([2.0, 3.0]), np.array([0.0, 1.0]))) == 1
    assert roc_auc(roc_curve(np.zeros(5), np.zeros(7))) == 0.5

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import roc_curve as reference_curve

from dcgan.evaluation.metrics.binary import (
    accuracy_at_zero,
    brier_score,
    expected_calibration_error,
    reliability,
    roc_auc,
    roc_curve,
)


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


def test_calibration_error_equals_torchmetrics(logits):
    import torch
    from torchmetrics.classification import BinaryCalibrationError

    real, fake = logits[0][:200], logits[1]
    truth = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).long()
    reference = BinaryCalibrationError(n_bins=15, norm="l1")
    expected = reference(torch.from_numpy(expit(np.r_[real, fake])), truth).item()
    assert expected_calibration_error(reliability(real, fake)) == pytest.approx(expected, abs=1e-6)


def test_brier_score_equals_the_reference(logits):
    real, fake = logits
    truth = np.r_[np.ones(len(real)), np.zeros(len(fake))]
    weights = np.where(truth == 1, 0.5 / len(real), 0.5 / len(fake))
    assert brier_score(real, fake) == pytest.approx(
        brier_score_loss(truth, expit(np.r_[real, fake]), sample_weight=weights)
    )


def test_calibrated_logits_have_almost_no_error_and_overconfidence_adds_to_it():
    """Real and fake logits from normals at ±1 with variance 2 are their own log odds."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(1, 2**0.5, 20_000), rng.normal(-1, 2**0.5, 20_000)
    errors = [expected_calibration_error(reliability(scale * real, scale * fake)) for scale in (1, 2, 4, 8)]
    assert errors[0] < 0.01
    assert errors == sorted(errors)
    briers = [brier_score(scale * real, scale * fake) for scale in (1, 2, 4, 8)]
    assert briers == sorted(briers)


def test_a_discriminator_without_a_clue_is_calibrated_at_a_quarter():
    nothing = np.zeros(50)
    assert brier_score(nothing, nothing) == pytest.approx(0.25)
    assert expected_calibration_error(reliability(nothing, nothing)) == pytest.approx(0)
    many = np.zeros(200)  # real and fake weigh the same, however many there are
    assert expected_calibration_error(reliability(nothing, many)) == pytest.approx(0)


def test_certain_and_right_is_perfect_certain_and_wrong_is_worst():
    sure = np.full(20, 1000.0)
    assert (brier_score(sure, -sure), brier_score(-sure, sure)) == pytest.approx((0, 1))
    assert expected_calibration_error(reliability(sure, -sure)) == 0
    assert expected_calibration_error(reliability(-sure, sure)) == pytest.approx(1)
    assert reliability(sure, -sure).weight.tolist() == pytest.approx([0.5, 0.5])

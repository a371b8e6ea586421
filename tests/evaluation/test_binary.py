import numpy as np
import pytest
import torch
from scipy.special import expit
from torchmetrics.functional.classification import binary_calibration_error

from dcgan.evaluation.metrics.binary import Reliability, reliability


def curve(real: np.ndarray, fake: np.ndarray) -> Reliability:
    return reliability(np.repeat([True, False], [len(real), len(fake)]), expit(np.concatenate([real, fake])))


def test_the_error_equals_torchmetrics():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.5, 1, 200).round(1), rng.normal(-0.5, 1, 300).round(1)
    truth = torch.tensor([1] * 200 + [0] * 300)
    expected = binary_calibration_error(torch.from_numpy(expit(np.r_[real, fake])), truth, n_bins=15, norm="l1")
    assert curve(real, fake).error == pytest.approx(expected.item(), abs=1e-6)


def test_calibrated_logits_have_almost_no_error_and_overconfidence_adds_to_it():
    """Real and fake logits from normals at ±1 with variance 2 are their own log odds."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(1, 2**0.5, 20_000), rng.normal(-1, 2**0.5, 20_000)
    errors = [curve(scale * real, scale * fake).error for scale in (1, 2, 4, 8)]
    assert errors[0] < 0.01
    assert errors == sorted(errors)


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_worst():
    certain = np.full(20, 1000.0)
    assert (curve(certain, -certain).error, curve(-certain, certain).error) == pytest.approx((0, 1))
    assert curve(certain, -certain).weight.tolist() == [0.5, 0.5]
    assert curve(np.zeros(5), np.zeros(5)).error == pytest.approx(0)

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dcgan.evaluation.metrics.probe import fit_softmax_regression, probe_accuracy


def clusters(per_class: int, *, seed: int, noise: float = 1.0, dim: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten clouds around fixed centres."""
    centres = torch.randn(10, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(10).repeat(per_class)
    rng = torch.Generator().manual_seed(seed)
    return centres[labels] + noise * torch.randn(len(labels), dim, generator=rng), labels


@pytest.mark.parametrize("weight_decay", [1.0, 30.0])
def test_weights_equal_scikit_learns_up_to_a_common_shift(weight_decay):
    features, labels = clusters(20, seed=0)
    weights, _ = fit_softmax_regression(features.double(), labels, weight_decay=weight_decay, max_iterations=1000)
    reference = LogisticRegression(C=1 / weight_decay, tol=1e-8, max_iter=1000).fit(features.double(), labels)
    np.testing.assert_allclose(weights, reference.coef_.T, atol=2e-3)


def test_accuracy_equals_scikit_learns():
    (features, labels), (test_features, test_labels) = clusters(30, seed=0, noise=2), clusters(100, seed=1, noise=2)
    scaler = StandardScaler().fit(features)
    reference = LogisticRegression(tol=1e-8, max_iter=1000).fit(scaler.transform(features), labels)
    expected = reference.score(scaler.transform(test_features), test_labels)
    found = probe_accuracy(features, labels, test_features=test_features, test_labels=test_labels)
    assert found == pytest.approx(expected, abs=0.003)
    assert 0.3 < found < 0.95


def test_separable_clusters_are_read_without_a_fault_and_noise_makes_it_worse():
    accuracies = []
    for noise in (0.05, 1.0, 2.0, 4.0):
        (features, labels), (test_features, test_labels) = (clusters(40, seed=seed, noise=noise) for seed in (0, 1))
        accuracies.append(probe_accuracy(features, labels, test_features=test_features, test_labels=test_labels))
    assert accuracies[0] == 1
    assert accuracies == sorted(accuracies, reverse=True)


def test_features_that_tell_nothing_give_chance():
    rng = torch.Generator().manual_seed(0)
    features, test_features = torch.randn(500, 4, generator=rng), torch.randn(2000, 4, generator=rng)
    labels, test_labels = torch.arange(500) % 10, torch.arange(2000) % 10
    found = probe_accuracy(features, labels, test_features=test_features, test_labels=test_labels)
    assert found == pytest.approx(0.1, abs=0.03)


def test_a_constant_feature_and_a_scale_change_nothing():
    (features, labels), (test_features, test_labels) = clusters(30, seed=0, noise=2), clusters(50, seed=1, noise=2)
    plain = probe_accuracy(features, labels, test_features=test_features, test_labels=test_labels)
    wide, test_wide = (
        torch.cat([100 * each, torch.full((len(each), 1), 7.0)], 1) for each in (features, test_features)
    )
    assert probe_accuracy(wide, labels, test_features=test_wide, test_labels=test_labels) == pytest.approx(
        plain, abs=0.005
    )

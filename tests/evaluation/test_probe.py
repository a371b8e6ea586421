import pytest
import torch

from dcgan.evaluation.metrics.probe import probe_accuracy


def clusters(per_class: int, *, seed: int, noise: float, dim: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten clouds around fixed centres."""
    centres = torch.randn(10, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(10).repeat(per_class)
    rng = torch.Generator().manual_seed(seed)
    return centres[labels] + noise * torch.randn(len(labels), dim, generator=rng), labels


def accuracy(*, noise: float, scale: float = 1.0) -> float:
    (features, labels), (test_features, test_labels) = (clusters(40, seed=seed, noise=noise) for seed in (0, 1))
    constant = torch.full((400, 1), 7.0)
    widened = [torch.cat([scale * each, constant], dim=1) for each in (features, test_features)]
    return probe_accuracy(widened[0], labels, test_features=widened[1], test_labels=test_labels)


def test_separable_clusters_are_read_perfectly_and_noise_makes_it_worse_down_to_chance():
    accuracies = [accuracy(noise=noise) for noise in (0.05, 1, 2, 4, 1000)]
    assert accuracies[0] == 1
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] == pytest.approx(0.1, abs=0.05)


def test_the_scale_of_the_features_changes_nothing():
    assert accuracy(noise=2, scale=1e4) == pytest.approx(accuracy(noise=2), abs=0.005)

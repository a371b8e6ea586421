import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from dcgan.evaluation.metrics import kernel
from dcgan.evaluation.metrics.kernel import kernel_distance


def normal(count: int, *, seed: int, dim: int = 8) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [9, 1000])
def test_it_equals_the_unbiased_estimate_from_whole_kernel_matrices(chunk, monkeypatch):
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    a, b = normal(40, seed=0), normal(30, seed=1) + 0.5
    of_a, of_b, between = (polynomial_kernel(x, y, degree=3, coef0=1) for x, y in ((a, a), (b, b), (a, b)))
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (of_a, of_b)]
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * between.mean(), rel=1e-12)


def test_equal_distributions_are_at_distance_zero_on_average():
    distances = torch.tensor([kernel_distance(normal(60, seed=2 * n), normal(60, seed=2 * n + 1)) for n in range(40)])
    assert abs(distances.mean()) < 2 * distances.std() / 40**0.5
    assert (distances < 0).any()  # unbiased: it falls on both sides


def test_too_few_or_invalid_features_are_refused():
    with pytest.raises(ValueError, match="N ≥ 2"):
        kernel_distance(normal(1, seed=0), normal(9, seed=1))
    with pytest.raises(ValueError, match="not finite"):
        kernel_distance(normal(9, seed=0), torch.full((9, 8), torch.nan))

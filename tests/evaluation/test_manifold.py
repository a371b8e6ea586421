"""Precision, recall, density and coverage, against brute force by the papers' formulas."""

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from dcgan.evaluation.metrics import neighbours
from dcgan.evaluation.metrics.manifold import ManifoldFigures, compare_manifolds, manifold_of


def normal(count: int, *, seed: int, dim: int = 6, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


def compare(real: torch.Tensor, samples: torch.Tensor) -> ManifoldFigures:
    return compare_manifolds(manifold_of(real), manifold_of(samples))


def reference(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Equations 1 and 2 of Kynkäänniemi et al. with k = 3; 2 and 4 of Naeem et al. with k = 5."""

    def radii(features, k):
        return NearestNeighbors(n_neighbors=k).fit(features).kneighbors()[0][:, -1]  # without the queries themselves

    between = pairwise_distances(real, fake)
    wide = radii(real, 5)[:, None]
    return {
        "precision": (between <= radii(real, 3)[:, None]).any(axis=0).mean(),
        "recall": (between <= radii(fake, 3)[None, :]).any(axis=1).mean(),
        "density": (between <= wide).sum(axis=0).mean() / 5,
        "coverage": (between <= wide).any(axis=1).mean(),
    }


@pytest.mark.parametrize("shift", [0.0, 0.7, 100.0])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_all_four_equal_the_reference(shift, chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    real, fake = normal(150, seed=0), normal(110, seed=1, shift=shift)
    found = compare(real, fake)
    assert vars(found) == pytest.approx(reference(real.double().numpy(), fake.double().numpy()))


def test_a_set_against_itself_is_wholly_precise_recalled_and_covered():
    features = normal(80, seed=0).mul(1e4).round()  # whole numbers, so that no distance to a ball's edge is rounded
    found = compare(features, features)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(1.2)  # every sample lies in its own ball besides k others' on average


def test_truncation_raises_precision_and_lowers_recall_down_to_a_collapse():
    real, drawn = normal(400, seed=0), normal(400, seed=1)
    found = [compare(real, truncation * drawn) for truncation in (1, 0.7, 0.4)]
    assert [each.recall for each in found] == sorted((each.recall for each in found), reverse=True)
    assert [each.precision for each in found] == sorted(each.precision for each in found)
    assert compare(real, drawn[:4].repeat(50, 1)).recall == 0


@pytest.mark.parametrize(("count", "value", "message"), [(5, 0, "N ≥ 6"), (9, np.nan, "finite"), (9, np.inf, "finite")])
def test_too_few_or_invalid_features_are_refused(count, value, message):
    with pytest.raises(ValueError, match=rf"features: .*{message}"):
        manifold_of(torch.full((count, 3), float(value)))

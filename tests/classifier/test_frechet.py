import numpy as np
import pytest
import torch

from dcgan.classifier.frechet import feature_statistics, frechet_distance


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def distance(a, b) -> float:
    return frechet_distance(feature_statistics(a), feature_statistics(b))


def test_equal_sets_are_at_distance_zero(rng):
    features = rng.normal(size=(200, 8))
    assert distance(features, features) == pytest.approx(0, abs=1e-10)


def test_a_shift_adds_its_squared_length(rng):
    features = rng.normal(size=(200, 8))
    shift = np.arange(8.0)
    assert distance(features, features + shift) == pytest.approx(shift @ shift)


def test_scaling_by_a_factor_gives_the_closed_form(rng):
    """Covariances Σ and c²Σ commute: the distance is (c - 1)²·tr Σ, plus that of the means."""
    features = rng.normal(size=(500, 5))
    features -= features.mean(axis=0)
    expected = (3 - 1) ** 2 * np.trace(np.cov(features, rowvar=False))
    assert distance(features, 3 * features) == pytest.approx(expected)


def test_it_equals_torchmetrics_with_the_same_features(rng):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Module):
        num_features = 6

        def forward(self, images):
            return images.flatten(1)[:, :6]

    real, fake = rng.normal(size=(300, 6)), rng.normal(0.5, 2, size=(400, 6))
    reference = FrechetInceptionDistance(feature=Identity(), normalize=True, input_img_size=(1, 1, 6))
    reference.set_dtype(torch.float64)
    reference.inception.to(torch.float64)
    for rows, is_real in ((real, True), (fake, False)):
        reference.update(torch.from_numpy(rows).reshape(-1, 1, 1, 6), real=is_real)
    assert distance(real, fake) == pytest.approx(reference.compute().item(), rel=1e-6)


def test_it_equals_scipys_matrix_root(rng):
    from scipy.linalg import sqrtm

    a, b = rng.normal(size=(60, 10)) @ rng.normal(size=(10, 10)), rng.normal(size=(60, 10))
    one, other = feature_statistics(a), feature_statistics(b)
    root = sqrtm(one.covariance @ other.covariance).real
    shift = one.mean - other.mean
    expected = shift @ shift + np.trace(one.covariance + other.covariance - 2 * root)
    assert distance(a, b) == pytest.approx(expected)


def test_fewer_features_than_dimensions_still_work(rng):
    assert distance(rng.normal(size=(5, 20)), rng.normal(size=(5, 20))) > 0


def test_more_noise_is_farther(rng):
    features, noise = rng.normal(size=(1000, 8)), rng.normal(size=(1000, 8))
    distances = [distance(features, features + sigma * noise) for sigma in (0, 0.25, 0.5, 1, 2)]
    assert distances == sorted(distances)
    assert distances[1] > 0.001


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    features = np.zeros((5, 3))
    features[2, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        feature_statistics(features)


def test_a_single_feature_is_refused():
    with pytest.raises(ValueError, match="N ≥ 2"):
        feature_statistics(np.zeros((1, 3)))

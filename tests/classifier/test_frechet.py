import numpy as np
import pytest
import torch

from dcgan.classifier.frechet import feature_statistics, frechet_distance


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def distance(a, b) -> float:
    return frechet_distance(feature_statistics(a), feature_statistics(b))


def test_equal_sets_are_at_distance_zero_and_a_shift_adds_its_squared_length(rng):
    features, shift = rng.normal(size=(200, 8)), np.arange(8.0)
    assert distance(features, features) == pytest.approx(0, abs=1e-10)
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

    real, fake = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)), rng.normal(0.5, 2, size=(400, 6))
    reference = FrechetInceptionDistance(feature=Identity(), normalize=True, input_img_size=(1, 1, 6))
    reference.set_dtype(torch.float64)
    reference.inception.to(torch.float64)
    for rows, is_real in ((real, True), (fake, False)):
        reference.update(torch.from_numpy(rows).reshape(-1, 1, 1, 6), real=is_real)
    assert distance(real, fake) == pytest.approx(reference.compute().item(), rel=1e-6)


def test_fewer_features_than_dimensions_still_work(rng):
    assert distance(rng.normal(size=(5, 20)), rng.normal(size=(5, 20))) > 0


@pytest.mark.parametrize(("bad", "message"), [(np.nan, "not finite"), (np.inf, "not finite"), (None, "N ≥ 2")])
def test_invalid_features_are_refused(bad, message):
    features = np.zeros((1 if bad is None else 5, 3))
    features[0, 1] = bad or 0
    with pytest.raises(ValueError, match=message):
        feature_statistics(features)

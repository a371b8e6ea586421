import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from dcgan.evaluation.metrics.authenticity import training_neighbours


def uniform(count: int, *, seed: int, dim: int = 5) -> torch.Tensor:
    return torch.rand(count, dim, generator=torch.Generator().manual_seed(seed))


def test_neighbours_and_authenticity_equal_the_reference():
    """Alaa et al. 2022, section 3.3: authentic if further from the nearest original than that is from its own."""
    training, queries = uniform(300, seed=0), uniform(120, seed=1)
    search = NearestNeighbors(n_neighbors=2).fit(training.double().numpy())
    distances, indices = search.kneighbors(queries.double().numpy(), n_neighbors=1)
    spacing = search.kneighbors(training.double().numpy())[0][:, 1]
    found = training_neighbours(queries, training)
    np.testing.assert_allclose(found.distances, distances[:, 0])
    assert found.indices.tolist() == indices[:, 0].tolist()
    assert found.authenticity == pytest.approx((distances[:, 0] > spacing[indices[:, 0]]).mean())
    assert 0.2 < found.authenticity < 0.8


def test_distances_are_exact_even_where_the_search_is_not():
    """The search squares in float32; large values would cost it all digits of a small distance."""
    training = uniform(50, seed=0) + 1000
    query = training[7:8] + torch.tensor([0, 0, 0, 0, 0.01])
    found = training_neighbours(query, training)
    assert found.indices.item() == 7
    expected = (query.double() - training[7:8].double()).norm()
    assert found.distances.item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_more_a_generator_copies_the_less_authentic_it_is():
    training, fresh = uniform(400, seed=0), uniform(200, seed=1)
    samples = [torch.cat([training[:copied], fresh[copied:]]) for copied in (0, 50, 100, 200)]
    shares = [training_neighbours(each, training).authenticity for each in samples]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0
    assert training_neighbours(training + 100, training).authenticity == 1


def test_invalid_values_are_refused():
    with pytest.raises(ValueError, match=r"queries: some are not finite"):
        training_neighbours(torch.full((3, 5), torch.nan), uniform(9, seed=0))
    with pytest.raises(ValueError, match=r"training: .*N ≥ 2"):
        training_neighbours(uniform(3, seed=0), uniform(1, seed=1))

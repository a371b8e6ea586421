import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from dcgan.core.losses import LOSSES

LOSS = LOSSES["non_saturating"]


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return 5 * torch.randn(64, generator=rng), 5 * torch.randn(64, generator=rng)


def test_discriminator_loss_is_the_cross_entropy_of_both_batches(logits):
    real, fake = logits
    expected = cross_entropy(real, torch.ones(64)) + cross_entropy(fake, torch.zeros(64))
    torch.testing.assert_close(LOSS.discriminator(real, fake), expected)


def test_generator_loss_is_the_cross_entropy_of_calling_fakes_real(logits):
    _, fake = logits
    torch.testing.assert_close(LOSS.generator(fake), cross_entropy(fake, torch.ones(64)))


def test_losses_at_zero_logits_are_those_of_a_discriminator_that_cannot_tell():
    undecided = torch.zeros(8)
    assert LOSS.discriminator(undecided, undecided).item() == pytest.approx(2 * math.log(2))
    assert LOSS.generator(undecided).item() == pytest.approx(math.log(2))


def test_losses_stay_finite_where_a_sigmoid_would_saturate():
    far = torch.tensor([1e4])
    assert LOSS.discriminator(-far, far).item() == pytest.approx(2e4)
    assert LOSS.generator(-far).item() == pytest.approx(1e4)

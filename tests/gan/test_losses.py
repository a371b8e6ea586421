import math

import numpy as np
import pytest
import torch

from dcgan.config.schema import LossConfig
from dcgan.gan.losses import LOSSES, equilibrium

LOSS = LOSSES["non_saturating"]


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -logits)


# Each player's objective as the papers write it, on float64 arrays of real and fake logits.
REFERENCES = {
    "non_saturating": (
        lambda real, fake: -log_sigmoid(real).mean() - log_sigmoid(-fake).mean(),
        lambda real, fake: -log_sigmoid(fake).mean(),
    ),
    "minimax": (
        lambda real, fake: -log_sigmoid(real).mean() - log_sigmoid(-fake).mean(),
        lambda real, fake: log_sigmoid(-fake).mean(),
    ),
    "least_squares": (
        lambda real, fake: (np.mean((real + 0.5 - 1) ** 2) + np.mean((fake + 0.5 - 0) ** 2)) / 2,
        lambda real, fake: np.mean((fake + 0.5 - 1) ** 2) / 2,
    ),
    "hinge": (
        lambda real, fake: -np.minimum(0, real - 1).mean() - np.minimum(0, -fake - 1).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "wasserstein": (lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean()),
    "relativistic": (
        lambda real, fake: -log_sigmoid(real - fake).mean(),
        lambda real, fake: -log_sigmoid(fake - real).mean(),
    ),
    "boundary_equilibrium": (lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean()),
}
UNDECIDED = {
    "non_saturating": (2 * math.log(2), math.log(2)),
    "minimax": (2 * math.log(2), -math.log(2)),
    "least_squares": (0.25, 0.125),
    "hinge": (2, 0),
    "wasserstein": (0, 0),
    "relativistic": (math.log(2), math.log(2)),
    "boundary_equilibrium": (0, 0),
}


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return 5 * torch.randn(64, generator=rng), 5 * torch.randn(64, generator=rng)


@pytest.mark.parametrize("name", LOSSES)
def test_both_players_minimise_what_the_papers_say(name, logits):
    arrays = [each.double().numpy() for each in logits]
    discriminator, generator = REFERENCES[name]
    assert LOSSES[name].discriminator(*logits).item() == pytest.approx(discriminator(*arrays), rel=1e-5)
    assert LOSSES[name].generator(*logits).item() == pytest.approx(generator(*arrays), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_at_zero_logits_are_those_of_a_discriminator_that_cannot_tell(name):
    undecided = torch.zeros(8)
    found = [loss(undecided, undecided).item() for loss in (LOSSES[name].discriminator, LOSSES[name].generator)]
    assert found == pytest.approx(UNDECIDED[name])


@pytest.mark.parametrize("name", LOSSES)
def test_the_players_pull_in_opposite_directions(name, logits):
    """Where fakes look fake, the discriminator wants their logits lower still, and the generator higher."""
    real, fake = (each.clone().requires_grad_() for each in (logits[0] * 0, logits[1] * 0))
    (for_discriminator,) = torch.autograd.grad(LOSSES[name].discriminator(real, fake), fake)
    (for_generator,) = torch.autograd.grad(LOSSES[name].generator(real, fake), fake)
    assert (for_discriminator > 0).all()
    assert (for_generator < 0).all()


def test_losses_stay_finite_where_a_sigmoid_would_saturate():
    far = torch.tensor([1e4])
    assert LOSS.discriminator(-far, far).item() == pytest.approx(2e4)
    assert LOSS.generator(far, -far).item() == pytest.approx(1e4)


def test_the_generator_goes_on_learning_from_fakes_that_are_found_out_unless_it_plays_minimax():
    slopes = {}
    for name in ("non_saturating", "minimax"):
        fake = torch.tensor([-20.0], requires_grad=True)
        (slopes[name],) = torch.autograd.grad(LOSSES[name].generator(torch.zeros(1), fake), fake)
    assert slopes["non_saturating"].item() == pytest.approx(-1)
    assert abs(slopes["minimax"].item()) < 1e-8


def test_k_t_follows_the_error_of_the_fakes_within_0_and_1():
    """Real images cost 0.4, so fakes may cost 0.2; they cost 0.1: too good, so they count for more."""
    config = LossConfig(name="boundary_equilibrium", diversity=0.5, balance_gain=0.1)
    real = torch.full((4,), -0.4)
    k_t, convergence = equilibrium(torch.tensor(0.5), real, torch.full((4,), -0.1), config)
    assert k_t.item() == pytest.approx(0.5 + 0.1 * (0.5 * 0.4 - 0.1))
    assert convergence.item() == pytest.approx(0.4 + 0.1)
    assert equilibrium(torch.tensor(0.0), real, torch.full((4,), -0.9), config)[0].item() == 0
    assert equilibrium(torch.tensor(1.0), real, torch.full((4,), -0.0), config)[0].item() == 1


def test_only_where_zero_is_a_boundary_has_the_discriminator_an_accuracy():
    real, fake = torch.tensor([1.0, 2.0, -3.0, 4.0]), torch.tensor([-1.0, 2.0, -3.0, 4.0])
    measured = {name: loss.measure(real, fake) for name, loss in LOSSES.items()}
    with_accuracy = {name for name, each in measured.items() if "discriminator/accuracy" in each}
    assert with_accuracy == {"non_saturating", "minimax", "least_squares", "hinge"}
    assert measured["hinge"]["discriminator/accuracy"].item() == (3 + 2) / 8
    assert measured["hinge"]["discriminator/real_logits"].item() == 1
    assert measured["hinge"]["discriminator/fake_logits"].item() == 0.5

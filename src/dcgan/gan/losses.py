"""Adversarial losses: pure functions of logits.

The discriminator D speaks logits, positive for real; σ is the logistic function and softplus(x) = log(1 + exp(x)),
so that softplus(-x) = -log σ(x). Both players' losses take (real_logits [B], fake_logits [B]) and give a scalar.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from dcgan.config.schema import LossConfig

Loss = Callable[[Tensor, Tensor], Tensor]
"""(real_logits [B], fake_logits [B]) → scalar."""


def keep_balance(
    balance: Tensor, _real_logits: Tensor, _fake_logits: Tensor, _config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Fakes count as much as before."""
    return balance, {}


@dataclass(frozen=True)
class AdversarialLoss:
    """What each player minimises, and how much the fakes count in what the discriminator minimises."""

    discriminator: Loss
    """Its fake logits come multiplied by the balance."""
    generator: Loss
    initial_balance: float = 1.0
    rebalance: Callable[[Tensor, Tensor, Tensor, LossConfig], tuple[Tensor, dict[str, Tensor]]] = keep_balance
    """(balance, real_logits [B], fake_logits [B], config) → the next step's balance, and what to report of it."""
    has_decision_boundary: bool = True
    """Whether a logit above 0 says real; else logits only compare, and the discriminator has no accuracy."""


def logistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(x))] - E[log(1 - σ(D(G(z))))]; 2·log 2 when D cannot tell (Goodfellow et al. 2014)."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def non_saturating_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(G(z)))]; log 2 when D cannot tell (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean()


def minimax_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[log(1 - σ(D(G(z))))]; -log 2 when D cannot tell, flat where D is sure (Goodfellow et al. 2014, equation 1)."""
    return -softplus(fake_logits).mean()


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½·E[(D(x) - ½)²] + ½·E[(D(G(z)) + ½)²]; ¼ when D cannot tell (Mao et al. 2017, arXiv:1611.04076).

    The paper's targets 1 and 0 are shifted by ½, so that logits are positive for real as everywhere.
    """
    return 0.5 * (real_logits - 0.5).square().mean() + 0.5 * (fake_logits + 0.5).square().mean()


def least_squares_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½·E[(D(G(z)) - ½)²]; ⅛ when D cannot tell (Mao et al. 2017)."""
    return 0.5 * (fake_logits - 0.5).square().mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]; 2 when D cannot tell (Lim & Ye 2017, arXiv:1705.02894)."""
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)], minus the distance of Arjovsky et al. 2017 (arXiv:1701.07875) if D's slope is bounded."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[D(G(z))]; also the hinge loss's and BEGAN's."""
    return -fake_logits.mean()


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(x) - D(G(z)))], in pairs; log 2 when D cannot tell (Jolicoeur-Martineau 2018, arXiv:1807.00734)."""
    return softplus(fake_logits - real_logits).mean()


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(G(z)) - D(x))]: fakes are to look more real than the real images do."""
    return softplus(real_logits - fake_logits).mean()


def steer_to_equilibrium(
    balance: Tensor, real_logits: Tensor, fake_logits: Tensor, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """BEGAN's k + λ·(γ·L(x) - L(G(z))) in [0, 1] with L = -D, and its measure of convergence (arXiv:1703.10717).

    The measure is L(x) + |γ·L(x) - L(G(z))|: how badly real images are redrawn, and how far the balance is off.
    """
    real_error, fake_error = -real_logits.detach().mean(), -fake_logits.detach().mean()
    excess = config.diversity * real_error - fake_error
    figures = {"discriminator/balance": balance, "discriminator/convergence": real_error + excess.abs()}
    return torch.clamp(balance + config.balance_gain * excess, 0, 1), figures


LOSSES = {
    "non_saturating": AdversarialLoss(logistic_discriminator_loss, non_saturating_generator_loss),
    "minimax": AdversarialLoss(logistic_discriminator_loss, minimax_generator_loss),
    "least_squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, wasserstein_generator_loss),
    "wasserstein": AdversarialLoss(
        wasserstein_discriminator_loss, wasserstein_generator_loss, has_decision_boundary=False
    ),
    "relativistic": AdversarialLoss(
        relativistic_discriminator_loss, relativistic_generator_loss, has_decision_boundary=False
    ),
    "boundary_equilibrium": AdversarialLoss(
        wasserstein_discriminator_loss,
        wasserstein_generator_loss,
        initial_balance=0.0,
        rebalance=steer_to_equilibrium,
        has_decision_boundary=False,
    ),
}


def compute_accuracy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The share, in [0, 1], of images [B] of both kinds that the discriminator tells rightly, with 0 as boundary."""
    return 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean())

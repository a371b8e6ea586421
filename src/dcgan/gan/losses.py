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
Measurements = dict[str, Tensor]
"""Detached scalars on the device, by tracker key."""


@dataclass(frozen=True)
class AdversarialLoss:
    """What each player minimises."""

    discriminator: Loss
    generator: Loss
    has_decision_boundary: bool = True
    """Whether a logit above 0 says real; else logits only compare, and the discriminator has no accuracy."""

    def measure(self, real_logits: Tensor, fake_logits: Tensor) -> Measurements:
        """Means of the logits [B], and the discriminator's accuracy if it has one."""
        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        means = {"discriminator/real_logits": real_logits.mean(), "discriminator/fake_logits": fake_logits.mean()}
        if self.has_decision_boundary:
            means["discriminator/accuracy"] = compute_accuracy(real_logits, fake_logits)
        return means


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


def equilibrium(k_t: Tensor, real_logits: Tensor, fake_logits: Tensor, config: LossConfig) -> tuple[Tensor, Tensor]:
    """BEGAN's next k_t and its measure of convergence (Berthelot et al. 2017, arXiv:1703.10717); L is -D.

    The next k_t is k_t + λ·(γ·L(x) - L(G(z))) in [0, 1], convergence L(x) + |γ·L(x) - L(G(z))|.
    """
    real_error, fake_error = -real_logits.detach().mean(), -fake_logits.detach().mean()
    excess = config.diversity * real_error - fake_error
    return torch.clamp(k_t + config.balance_gain * excess, 0, 1), real_error + excess.abs()


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
    "boundary_equilibrium": AdversarialLoss(  # the fakes' logits come multiplied by k_t
        wasserstein_discriminator_loss, wasserstein_generator_loss, has_decision_boundary=False
    ),
}


def compute_accuracy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The share, in [0, 1], of images [B] of both kinds that the discriminator classifies right, with 0 as boundary."""
    return 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean())

"""Adversarial losses: pure functions of logits.

The discriminator D speaks logits, positive for real; σ is the logistic function and softplus(x) = log(1 + exp(x)),
so that softplus(-x) = -log σ(x).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class AdversarialLoss:
    """What each player minimises."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """(real_logits [B], fake_logits [B]) → scalar."""
    generator: Callable[[Tensor], Tensor]
    """(fake_logits [B]) → scalar."""


def logistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(x))] - E[log(1 - σ(D(G(z))))]; 2·log 2 when D cannot tell (Goodfellow et al. 2014)."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E[log σ(D(G(z)))]; log 2 when D cannot tell (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean()


LOSSES = {
    "non_saturating": AdversarialLoss(
        discriminator=logistic_discriminator_loss, generator=non_saturating_generator_loss
    ),
}

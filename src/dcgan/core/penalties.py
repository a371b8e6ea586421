"""Penalties that keep the discriminator smooth."""

import torch
from torch import Tensor


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    """½·E[|∇ₓD(x)|²] at real images, per unit of γ (Mescheder et al. 2018, arXiv:1801.04406).

    Args:
        real_logits: [B], computed from `real`.
        real: images [B, 1, 28, 28] that require a gradient.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()

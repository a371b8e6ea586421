"""Penalties: terms that keep the discriminator smooth, bounds on its weights, and one term on the generator."""

import torch
from torch import Tensor, nn


def zero_centred_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """½·E[|∇ₓD(x)|²], per unit of γ: R1 at real images, R2 at generated ones (Mescheder et al. 2018, arXiv:1801.04406).

    Args:
        logits: [B], computed from `images`.
        images: [B, 1, 28, 28] that require a gradient.
    """
    return 0.5 * _slopes(logits, images).square().sum(dim=(1, 2, 3)).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """E[(|∇ₓD(x)| - 1)²], per unit of λ; WGAN-GP's, at `interpolate`d images (Gulrajani et al. 2017, arXiv:1704.00028).

    Args:
        logits: [B], computed from `images`, each from its own image alone.
        images: [B, 1, 28, 28] that require a gradient.
    """
    lengths: Tensor = torch.linalg.vector_norm(_slopes(logits, images).flatten(1), dim=1)
    return (lengths - 1).square().mean()


def interpolate(real: Tensor, fake: Tensor, places: Tensor) -> Tensor:
    """Images [B, 1, 28, 28] at places [B, 1, 1, 1] between `real` (0) and `fake` (1); they require a gradient."""
    return torch.lerp(real.detach(), fake.detach().to(real.dtype), places).requires_grad_()


def moment_kl(fake: Tensor, real: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(μ', σ'²)) in nats, with mean and spread of all pixels of `fake` and (primed) of `real`.

    log(σ'/σ) + (σ² + (μ - μ')²) / 2σ'² - ½; zero only if both agree. It sees the ink's amount and contrast alone.

    Args:
        fake: images [B, 1, 28, 28].
        real: images of any number.
    """
    fake, real = fake.float(), real.detach().float()
    ratio = fake.var(correction=0) / real.var(correction=0)
    shift = (fake.mean() - real.mean()).square() / real.var(correction=0)
    return 0.5 * (ratio + shift - 1 - torch.log(ratio))


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Cut every weight to ± `limit` (Arjovsky et al. 2017, arXiv:1701.07875)."""
    for weight in network.parameters():
        weight.clamp_(-limit, limit)


def _slopes(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of the logits' sum by each image, float32 [B, 1, 28, 28]: its own logit's but for BatchNorm."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float()  # that by a generated image is bf16 if the arithmetic is

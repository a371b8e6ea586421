"""From images back to latents, by back-propagation through the generator (Zhu et al. 2016, arXiv:1609.03552)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan.config.schema import NUM_CATEGORIES, ModelConfig
from dcgan.data.batches import sample_latents
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

SCOUT_STEPS = 50
"""Steps that every start and every digit gets before the best of them go on."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The latents whose image came nearest to one target."""

    latents: Tensor
    """Float32 [latent_dim]."""
    label: int | None
    """The digit that was asked for; None for an unconditional generator."""
    start: Tensor
    """What the generator drew at the beginning, [1, 28, 28] in [-1, 1]."""
    found: Tensor
    """What it draws in the end, [1, 28, 28] in [-1, 1]."""
    errors: Tensor
    """Mean squared error of the best candidate before each step and after the last, float32 [steps + 1]."""

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB: 10·log₁₀(4 / error), since images span 2."""
        return 10 * math.log10(4 / max(float(self.errors[-1]), 1e-12))


def project(
    generator: nn.Module,
    model: ModelConfig,
    target: Tensor,
    *,
    label: int | None = None,
    steps: int = 300,
    restarts: int = 4,
    learning_rate: float = 0.1,
    seed: int = 0,
) -> Projection:
    """Look for the latents, and the digit if it is not given, whose image has the least squared error.

    Every digit, and every category of infogan's, is tried from `restarts` starts for 50 steps; the best `restarts` of
    them all go on to `steps`. Latents stay where the generator knows them: normal ones on the sphere of radius
    √latent_dim, close to which nearly all of them lie, uniform ones in their cube.

    Args:
        generator: in evaluation mode.
        model: what it draws from.
        target: image [1, 28, 28] in [-1, 1], on any device.
        label: the digit, if known.
        steps: of Adam, in all.
        restarts: starts a digit.
        learning_rate: of Adam, falling to 0 along a cosine.
        seed: of the starts.

    Raises:
        BadDataError: the generator draws values that are not finite.
    """
    assert not generator.training, "BatchNorm would make the images depend on their neighbours"
    device = next(generator.parameters()).device
    latents, labels = _candidates(model, label, restarts=restarts, seed=seed)
    latents, labels, target = latents.to(device), None if labels is None else labels.to(device), target.to(device)
    shape, unshape = _SHAPES[model.latent_distribution]
    num_fixed = NUM_CATEGORIES if model.architecture == "infogan" else 0
    free = unshape(latents).requires_grad_()
    optimizer = torch.optim.Adam([free], learning_rate)
    with torch.no_grad():
        starts = generator(shape(free), labels)
    if not torch.isfinite(starts).all():
        raise BadDataError(f"the generator outputs values that are not finite; {rerun('train')}")

    curve: list[float] = []
    for step in range(steps):
        if step == SCOUT_STEPS:  # the best go on, with the optimiser's memory of them
            best = _errors(generator(shape(free), labels), target).argsort()[:restarts]
            starts, labels = starts[best], None if labels is None else labels[best]
            free, optimizer = _kept(free, optimizer, best)
        optimizer.param_groups[0]["lr"] = 0.5 * learning_rate * (1 + math.cos(math.pi * step / steps))
        errors = _errors(generator(shape(free), labels), target)
        (free.grad,) = torch.autograd.grad(errors.sum(), free)  # the sum: no candidate slows another one down
        free.grad[:, :num_fixed] = 0  # no slope leads from one category to another
        optimizer.step()
        curve.append(float(errors.detach().min()))

    with torch.no_grad():
        images = generator(shape(free), labels)
        errors = _errors(images, target)
        best = errors.argmin()
        return Projection(
            latents=shape(free)[best].cpu(),
            label=None if labels is None else int(labels[best]),
            start=starts[best].cpu(),
            found=images[best].cpu(),
            errors=torch.tensor([*curve, float(errors[best])]),
        )


def _candidates(model: ModelConfig, label: int | None, *, restarts: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """Latents and labels to start from: every digit that is asked for, and every category, from the same places."""
    starts = sample_latents(restarts, model, rng=torch.Generator().manual_seed(seed))
    if model.architecture == "infogan":
        starts = torch.cat([_of_category(starts, category) for category in range(NUM_CATEGORIES)])
    if not model.conditional:
        return starts, None
    digits = torch.tensor(list(range(model.num_classes)) if label is None else [label])
    return starts.repeat(len(digits), 1), digits.repeat_interleave(restarts)


def _kept(free: Tensor, optimizer: torch.optim.Adam, best: Tensor) -> tuple[Tensor, torch.optim.Adam]:
    """The rows `best` of what is searched for, and an optimiser with its moments of these rows."""
    saved = optimizer.state_dict()
    moments = {name: each[best] if each.dim() else each for name, each in saved["state"][0].items()}
    free = free[best].detach().requires_grad_()
    optimizer = torch.optim.Adam([free])
    optimizer.load_state_dict(saved | {"state": {0: moments}})
    return free, optimizer


def _errors(images: Tensor, target: Tensor) -> Tensor:
    """Mean squared errors [B]."""
    return (images - target).square().mean(dim=(1, 2, 3))


def _of_category(latents: Tensor, category: int) -> Tensor:
    """Latents [N, latent_dim] with the largest of the first ten, by which infogan knows the category, put in place."""
    moved, rows = latents.clone(), torch.arange(len(latents), device=latents.device)
    largest = latents[:, :NUM_CATEGORIES].argmax(dim=1)
    moved[rows, largest] = latents[:, category]
    moved[:, category] = latents[rows, largest]
    return moved


def _on_sphere(free: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(free, dim=1, keepdim=True)
    return free * (math.sqrt(free.shape[1]) / lengths)


_SHAPES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "normal": (_on_sphere, torch.clone),
    "uniform": (torch.tanh, lambda latents: torch.atanh(latents.clamp(-0.999, 0.999))),
}
"""By distribution: what is searched freely to latents, and back."""

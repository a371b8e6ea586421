"""From images back to latents, by back-propagation through the generator (Zhu et al. 2016, arXiv:1609.03552)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan.config.schema import NUM_CLASSES, ModelConfig
from dcgan.data.batches import sample_latents
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
    starts = sample_latents(restarts, model, rng=torch.Generator().manual_seed(seed)).to(device)
    if model.architecture == "infogan":
        starts = torch.cat([_of_category(starts, category) for category in range(NUM_CLASSES)])
    digits = [label] if label is not None or not model.conditional else list(range(NUM_CLASSES))
    labels = torch.tensor(digits, device=device).repeat_interleave(restarts) if model.conditional else None
    latents = starts.repeat(len(digits), 1)
    search = _Search(generator, model, target.to(device), latents, labels, learning_rate=learning_rate, steps=steps)
    scouting = min(SCOUT_STEPS, steps)
    search.run(0, scouting)
    search.keep(restarts)
    search.run(scouting, steps)
    return search.result()


class _Search:
    """Candidates on their way to the target."""

    def __init__(
        self,
        generator: nn.Module,
        model: ModelConfig,
        target: Tensor,
        latents: Tensor,
        labels: Tensor | None,
        *,
        learning_rate: float,
        steps: int,
    ) -> None:
        self._generator, self._target, self._labels = generator, target, labels
        self._shape, unshape = _SHAPES[model.latent_distribution]
        self._free = unshape(latents).requires_grad_()
        self._optimizer = torch.optim.Adam([self._free], learning_rate)
        self._first_rate, self._steps = learning_rate, steps
        self._num_fixed = NUM_CLASSES if model.architecture == "infogan" else 0
        with torch.no_grad():
            self._starts = self._draw()
        if not torch.isfinite(self._starts).all():
            raise BadDataError("the generator draws values that are not finite; run `dvc repro --force train`")
        self._curve: list[float] = []

    def run(self, start: int, end: int) -> None:
        """Take the steps from `start` to `end`."""
        for step in range(start, end):
            cosine = math.cos(math.pi * step / self._steps)
            self._optimizer.param_groups[0]["lr"] = 0.5 * self._first_rate * (1 + cosine)
            errors = self._errors(self._draw())
            self._optimizer.zero_grad(set_to_none=True)
            # The sum: no candidate slows another one down.
            (self._free.grad,) = torch.autograd.grad(errors.sum(), self._free)
            self._free.grad[:, : self._num_fixed] = 0  # no slope leads from one category to another
            self._optimizer.step()
            self._curve.append(float(errors.detach().min()))

    @torch.no_grad()
    def keep(self, count: int) -> None:
        """Let the best candidates go on, each with the optimiser's memory of it."""
        best = self._errors(self._draw()).argsort()[:count]
        saved = self._optimizer.state_dict()
        moments = {name: each[best] if each.dim() else each for name, each in saved["state"][0].items()}
        self._free = self._free[best].detach().requires_grad_()
        self._optimizer = torch.optim.Adam([self._free])
        self._optimizer.load_state_dict(saved | {"state": {0: moments}})
        self._starts = self._starts[best]
        self._labels = None if self._labels is None else self._labels[best]

    @torch.no_grad()
    def result(self) -> Projection:
        """The best candidate."""
        images = self._draw()
        errors = self._errors(images)
        best = int(errors.argmin())
        return Projection(
            latents=self._shape(self._free)[best].cpu(),
            label=None if self._labels is None else int(self._labels[best]),
            start=self._starts[best].cpu(),
            found=images[best].cpu(),
            errors=torch.tensor([*self._curve, float(errors[best])]),
        )

    def _draw(self) -> Tensor:
        images: Tensor = self._generator(self._shape(self._free), self._labels)
        return images

    def _errors(self, images: Tensor) -> Tensor:
        return (images - self._target).square().mean(dim=(1, 2, 3))


def _of_category(latents: Tensor, category: int) -> Tensor:
    """Latents [N, latent_dim] with the largest of the first ten, by which infogan knows the category, put in place."""
    moved, rows = latents.clone(), torch.arange(len(latents), device=latents.device)
    largest = latents[:, :NUM_CLASSES].argmax(dim=1)
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

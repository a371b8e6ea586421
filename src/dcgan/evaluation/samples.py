"""The samples that are judged, from PyTorch's generator or any other that draws pixels from latents."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dcgan.config.schema import NUM_CLASSES, LatentDistribution, ModelConfig
from dcgan.data.batches import mixed_seed, sample_latents, to_pixels
from dcgan.gan.sampling import sample_images
from dcgan.system.errors import BadDataError

INTERPOLATION_STEPS = 12
MIN_SINE = 1e-3
EVALUATION = 0x6576616C
"""Keeps evaluation's randomness apart from training's, whose seeds end in a step or an epoch."""

SampleFunction = Callable[[Tensor, Tensor | None], Tensor]
"""(latents float32 [N, latent_dim], labels int64 [N] or None) → pixels uint8 [N, 28, 28], all on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A generator as evaluation sees it: what it draws from, and how."""

    name: str
    """For messages."""
    latent_dim: int
    latent_distribution: LatentDistribution
    conditional: bool
    sample: SampleFunction


@dataclass(frozen=True, kw_only=True)
class Samples:
    """`pixels` uint8 [N, 28, 28] (0 background, 255 ink) and the digits asked for, int64 [N], or None."""

    pixels: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.pixels)


def evaluation_rng(seed: int, purpose: str) -> torch.Generator:
    """The randomness, on the CPU, of one purpose."""
    return torch.Generator().manual_seed(mixed_seed(seed, EVALUATION, *purpose.encode()))


def shuffled(count: int, *, seed: int, purpose: str) -> Tensor:
    """0 to `count` - 1 in an order that depends on seed and purpose, int64 [count]."""
    return torch.randperm(count, generator=evaluation_rng(seed, purpose))


def sampler_of(generator: nn.Module, model: ModelConfig) -> Sampler:
    """The generator, in evaluation mode, as a sampler; latents are drawn on the CPU, so every device gets the same."""
    device = next(generator.parameters()).device

    def sample(latents: Tensor, labels: Tensor | None) -> Tensor:
        images = sample_images(generator, latents.to(device), None if labels is None else labels.to(device))
        if not torch.isfinite(images).all():
            raise BadDataError("the generator draws values that are not finite; run `dvc repro --force train`")
        # What leaves the generator as a file has 256 levels, so that is what is judged.
        return to_pixels(images).cpu()

    return Sampler(
        name="the generator",
        latent_dim=model.latent_dim,
        latent_distribution=model.latent_distribution,
        conditional=model.conditional,
        sample=sample,
    )


def generate_samples(sampler: Sampler, *, count: int, seed: int, purpose: str = "samples") -> Samples:
    """`count` samples, a function of seed and purpose; digits are asked for in turn, 0 to 9, so equally often.

    Raises:
        BadDataError: all samples are the same image, which no figure can tell anything about.
    """
    latents = sample_latents(count, sampler, rng=evaluation_rng(seed, purpose))
    labels = torch.arange(count) % NUM_CLASSES if sampler.conditional else None
    pixels = sampler.sample(latents, labels)
    if (pixels == pixels[0]).all():
        raise BadDataError(f"{sampler.name} draws the same image {count:,} times; train it anew")
    return Samples(pixels=pixels, labels=labels)


def sample_interpolations(sampler: Sampler, *, seed: int, rows: int = 10) -> Samples:
    """Walks of `INTERPOLATION_STEPS` samples between two latents, `rows` of them, digit by digit if conditional."""
    ends = sample_latents(2 * rows, sampler, rng=evaluation_rng(seed, "interpolations"))
    pairs = zip(ends[:rows], ends[rows:], strict=True)
    latents = torch.cat([interpolate(*pair, sampler.latent_distribution) for pair in pairs])
    labels = (torch.arange(rows) % NUM_CLASSES).repeat_interleave(INTERPOLATION_STEPS) if sampler.conditional else None
    return Samples(pixels=sampler.sample(latents, labels), labels=labels)


def interpolate(start: Tensor, end: Tensor, distribution: LatentDistribution) -> Tensor:
    """`INTERPOLATION_STEPS` latents [INTERPOLATION_STEPS, latent_dim] from one to another.

    Normal latents are walked on a great circle, which keeps the length that the generator is used to (Shoemake 1985;
    White 2016, arXiv:1609.04468); uniform ones on a line.
    """
    walk = spherical_interpolation if distribution == "normal" else linear_interpolation
    return walk(start, end, steps=INTERPOLATION_STEPS)


def linear_interpolation(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """Equal steps on the line between two latents [latent_dim]: [steps, latent_dim], both ends included."""
    share = torch.linspace(0, 1, steps).unsqueeze(1)
    return (1 - share) * start + share * end


def spherical_interpolation(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """Equal angles between two latents [latent_dim], their lengths blended: [steps, latent_dim], both ends included.

    Latents on one line have no arc between them: they are walked on that line.
    """
    angle = torch.acos(torch.nn.functional.cosine_similarity(start, end, dim=0).clamp(-1, 1))
    if torch.sin(angle) < MIN_SINE:
        return linear_interpolation(start, end, steps=steps)
    share = torch.linspace(0, 1, steps).unsqueeze(1)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)

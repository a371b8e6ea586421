"""Samples of a generator, in PyTorch or any other runtime, as functions of a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from dcgan.config.schema import NUM_CLASSES, LatentDistribution, ModelConfig
from dcgan.data.batches import mixed_seed, sample_latents, to_pixels
from dcgan.gan.sampling import sample_images
from dcgan.system.advice import rerun
from dcgan.system.errors import BadDataError

INTERPOLATION_STEPS = 12
MIN_SINE = 1e-3
"""Between directions closer than this, an arc is a line to within float32."""
EVALUATION = 0x6576616C
"""Keeps the seeds of evaluation apart from those of training, which end in a step or an epoch."""

SampleFunction = Callable[[Tensor, Tensor | None], Tensor]
"""(latents float32 [N, latent_dim], labels int64 [N] or None) → pixels uint8 [N, 28, 28], all on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A generator as evaluation uses it: latents and labels to pixels."""

    name: str
    """For messages."""
    latent_dim: int
    latent_distribution: LatentDistribution
    conditional: bool
    sample: SampleFunction
    num_classes: int = NUM_CLASSES


@dataclass(frozen=True, kw_only=True)
class Samples:
    """`pixels` uint8 [N, 28, 28] (0 background, 255 ink) and their conditioning labels int64 [N], or None."""

    pixels: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.pixels)


def evaluation_rng(seed: int, purpose: str) -> torch.Generator:
    """The random generator, on the CPU, of one purpose."""
    return torch.Generator().manual_seed(mixed_seed(seed, EVALUATION, *purpose.encode()))


def shuffled(count: int, *, seed: int, purpose: str) -> Tensor:
    """0 to `count` - 1 in an order that depends on seed and purpose, int64 [count]."""
    return torch.randperm(count, generator=evaluation_rng(seed, purpose))


def sampler_of(generator: nn.Module, model: ModelConfig) -> Sampler:
    """A PyTorch generator, in evaluation mode, as a sampler.

    Latents are drawn on the CPU, so that every device gets the same ones.
    """
    device = next(generator.parameters()).device

    def sample(latents: Tensor, labels: Tensor | None) -> Tensor:
        images = sample_images(generator, latents.to(device), None if labels is None else labels.to(device))
        if not torch.isfinite(images).all():
            raise BadDataError(f"the generator outputs values that are not finite; {rerun('train')}")
        return to_pixels(images).cpu()  # 256 levels, as in every file of images

    return Sampler(
        name="the generator",
        latent_dim=model.latent_dim,
        latent_distribution=model.latent_distribution,
        conditional=model.conditional,
        sample=sample,
        num_classes=model.num_classes,
    )


def generate_samples(sampler: Sampler, *, count: int, seed: int, purpose: str = "samples") -> Samples:
    """`count` samples, a function of seed and purpose; the labels come in turn, so all are equally frequent.

    Raises:
        BadDataError: all samples are the same image, which no metric can measure.
    """
    latents = sample_latents(count, sampler, rng=evaluation_rng(seed, purpose))
    labels = torch.arange(count) % sampler.num_classes if sampler.conditional else None
    pixels = sampler.sample(latents, labels)
    if (pixels == pixels[0]).all():
        raise BadDataError(f"{sampler.name} outputs the same image {count:,} times; train it again")
    return Samples(pixels=pixels, labels=labels)


def sample_interpolations(sampler: Sampler, *, seed: int, rows: int = 10) -> Samples:
    """`rows` interpolations of `INTERPOLATION_STEPS` samples; the labels of rows come in turn, if there are."""
    ends = sample_latents(2 * rows, sampler, rng=evaluation_rng(seed, "interpolations"))
    pairs = zip(ends[:rows], ends[rows:], strict=True)
    latents = torch.cat([interpolate(*pair, sampler.latent_distribution) for pair in pairs])
    in_turn = (torch.arange(rows) % sampler.num_classes).repeat_interleave(INTERPOLATION_STEPS)
    labels = in_turn if sampler.conditional else None
    return Samples(pixels=sampler.sample(latents, labels), labels=labels)


def interpolate(
    start: Tensor, end: Tensor, distribution: LatentDistribution, *, steps: int = INTERPOLATION_STEPS
) -> Tensor:
    """Latents [steps, latent_dim] from `start` [latent_dim] to `end`, both included.

    Spherical for normal latents, which keeps their length (Shoemake 1985; White 2016, arXiv:1609.04468); linear for
    uniform ones, and for two latents on one line, between which there is no arc.
    """
    share = torch.linspace(0, 1, steps).unsqueeze(1)
    angle = torch.acos(cosine_similarity(start, end, dim=0).clamp(-1, 1))
    if distribution == "uniform" or torch.sin(angle) < MIN_SINE:
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)

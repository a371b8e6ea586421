"""Anything that turns latents into images, as a sampler."""

from dcgan.evaluation.samples import Sampler

LATENT_DIM = 4


def sampler(sample, *, conditional: bool = True, distribution: str = "normal") -> Sampler:
    return Sampler(
        name="a trial",
        latent_dim=LATENT_DIM,
        latent_distribution=distribution,
        conditional=conditional,
        sample=sample,
    )

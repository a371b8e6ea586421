"""A sampler from any function that turns latents into pixels."""

from dcgan.evaluation.samples import Sampler

LATENT_DIM = 4


def sampler(sample, *, conditional: bool = True) -> Sampler:
    return Sampler(
        name="a sampler",
        latent_dim=LATENT_DIM,
        latent_distribution="normal",
        conditional=conditional,
        sample=sample,
    )

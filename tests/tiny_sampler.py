"""Anything that turns latents into images, as a source of samples."""

from dcgan.evaluation.samples import Source

LATENT_DIM = 4


def source(draw, *, conditional: bool = True, distribution: str = "normal") -> Source:
    return Source(
        name="a trial",
        latent_dim=LATENT_DIM,
        latent_distribution=distribution,
        conditional=conditional,
        draw=draw,
    )

"""A sampler from any function that turns latents into pixels."""

from functools import partial

from dcgan.evaluation.samples import Sampler

LATENT_DIM = 4

sampler = partial(Sampler, name="a sampler", latent_dim=LATENT_DIM, latent_distribution="normal", conditional=True)

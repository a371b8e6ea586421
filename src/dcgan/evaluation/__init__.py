"""How good the samples and the discriminator are, beside real images."""

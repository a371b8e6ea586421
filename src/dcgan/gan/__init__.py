"""The GAN: networks, losses, the training step and the training loop."""

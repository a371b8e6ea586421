"""Judges of samples and of the discriminator: pure functions of float64 statistics."""

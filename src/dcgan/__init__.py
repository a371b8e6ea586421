"""MNIST in, a tracked, gated, reproducible DCGAN generator out."""

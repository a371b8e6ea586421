"""MNIST in, a tracked, gated, reproducible DCGAN generator out."""

__version__ = "0.1.0"

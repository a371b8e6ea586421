"""MNIST in, a tracked, gated, reproducible DCGAN generator out."""

import os

# PyTorch's OpenMP threads spin while they wait for each other. Beside any other busy process that makes a training
# step several times slower, and on an idle machine it gains nothing (docs/experiments.md). Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

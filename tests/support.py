"""Constants that tests of several rooms share."""

from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")

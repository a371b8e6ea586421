"""Losses of the first ten steps of the default configuration: `python tests/golden_losses.py --write` records them.

A change of the defaults, the networks, the losses or the order of random draws shows here; record anew if it was meant.
"""

import json
import sys
from pathlib import Path

import torch

from dcgan.config.schema import GanConfig, Params
from dcgan.data.dataset import LabelledImages
from dcgan.gan.state import build_state
from small_gan import CPU, RecordingTracker, changed, run

GOLDEN = Path(__file__).with_suffix(".json")
NUM_STEPS = 10
KEYS = ("discriminator/loss", "generator/loss", "discriminator/r1")
DEFAULT = changed(
    Params().gan,
    {
        "train.max_steps": NUM_STEPS,
        "train.report_every": 1,
        "train.sample_every": 10**6,
        "train.device": "cpu",
        "train.precision": "fp32",
    },
)


def losses(config: GanConfig) -> dict[str, list[float]]:
    """What every step measured; R1 only every so many steps."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1024, 28, 28), generator=rng, dtype=torch.uint8)
    images[:, :8] = 0  # like MNIST's images, mostly background
    state, tracker = build_state(config, device=CPU), RecordingTracker()
    for network in (state.generator, state.discriminator, state.generator_ema):
        # In float32 the last digits, in which machines differ, grow to percents within ten steps.
        network.double().register_forward_pre_hook(_in_float64)
    run(config, LabelledImages(images, torch.arange(1024) % 10), state=state, tracker=tracker)
    return {key: [row[key] for row in tracker.metrics.values() if key in row] for key in KEYS}


def _in_float64(_network: object, inputs: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
    return tuple(each.double() if each is not None and each.is_floating_point() else each for each in inputs)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    GOLDEN.write_text(json.dumps(losses(DEFAULT), indent=1) + "\n")

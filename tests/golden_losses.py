"""Losses of the first ten steps of the recipe in params.yaml: `python tests/golden_losses.py --write` records them.

A change of the recipe, the networks, the losses or the order of random draws shows here; record anew if it was meant.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch

from dcgan.config.params_file import load_params
from dcgan.config.schema import GanConfig
from dcgan.data.batches import Batches
from dcgan.data.dataset import LabelledImages
from dcgan.gan.state import build_state
from dcgan.gan.tracker import RecordingTracker
from dcgan.gan.training import train

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).with_suffix(".json")
NUM_STEPS = 10
KEYS = ("discriminator/loss", "generator/loss", "discriminator/r1")
CPU = torch.device("cpu")


def recipe() -> GanConfig:
    """The default recipe as it is trained on any CPU, for ten steps."""
    config = load_params(ROOT / "params.yaml").gan
    steps = {"max_steps": NUM_STEPS, "report_every": 1, "sample_every": 10**6}
    machine = {"device": "cpu", "precision": "fp32", "threads": None}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **steps, **machine))


def shapes(config: GanConfig) -> dict[str, object]:
    """What the losses depend on, as JSON holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def losses(config: GanConfig) -> dict[str, list[float]]:
    """What every step measured; R1 only every so many steps."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1024, 28, 28), generator=rng, dtype=torch.uint8)
    images[:, :8] = 0  # like MNIST's images, mostly background
    data = LabelledImages(images, torch.arange(1024) % 10)
    state, tracker = build_state(config, device=CPU), RecordingTracker()
    for network in (state.generator, state.discriminator, state.generator_ema):
        # In float32 the last digits, in which machines differ, grow to percents within ten steps.
        network.double().register_forward_pre_hook(_in_float64)
    batches = Batches(data, batch_size=config.train.batch_size, seed=0, device=CPU)
    train(state, batches, config, tracker=tracker, on_checkpoint=lambda _state: None)
    return {key: [row[key] for row in tracker.metrics.values() if key in row] for key in KEYS}


def _in_float64(_network: object, inputs: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
    return tuple(each.double() if each is not None and each.is_floating_point() else each for each in inputs)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    GOLDEN.write_text(json.dumps({"recipe": shapes(recipe()), "losses": losses(recipe())}, indent=1) + "\n")

"""A GAN that trains in seconds: its configuration and data, steps and runs of it, and comparisons of states."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from dcgan.config.params_file import changed
from dcgan.config.schema import GanConfig, ModelConfig, PenaltiesConfig, TrainConfig
from dcgan.data.batches import Batches
from dcgan.data.dataset import LabelledImages
from dcgan.gan.inputs import Inputs
from dcgan.gan.state import GanState, build_state
from dcgan.gan.step import due_at, gan_step
from dcgan.gan.tracker import is_kept
from dcgan.gan.training import train
from support import CPU, ROOT

END = 12
"""Steps of a run by `CONFIG` on `striped_images`: 100 images in batches of 16 are 6 steps an epoch."""
CONFIG = GanConfig(
    model=ModelConfig(latent_dim=16, generator_channels=8, discriminator_channels=8),
    penalties=PenaltiesConfig(r1=0.05, every=2),
    train=TrainConfig(
        epochs=2, batch_size=16, generator_learning_rate=1e-3, discriminator_learning_rate=5e-4, ema_halflife_kimg=1.0,
        device="cpu", precision="fp32", checkpoint_every=4, report_every=2,
    ),
)  # fmt: skip


ZOO = yaml.safe_load((ROOT / "experiments/zoo.yaml").read_text())


def variant(name: str, *, steps: int) -> GanConfig:
    """A variant of the zoo with a quarter of its channels, in small batches, at rates that let it learn at once."""
    config = changed(GanConfig(), ZOO["base"] | ZOO["variants"][name].get("params", {}))
    channels = ("generator_channels", "discriminator_channels")
    sizes = {f"model.{each}": getattr(config.model, each) // 4 for each in channels}
    kept = ("batch_size", "ema_halflife_kimg", "device", "precision")
    schedule = {f"train.{each}": getattr(CONFIG.train, each) for each in kept}
    rates = {"train.generator_learning_rate": 4e-3, "train.discriminator_learning_rate": 4e-3}
    ends = {"train.epochs": 1000, "train.max_steps": steps, "model.latent_dim": 16}
    return changed(config, sizes | schedule | rates | ends)


def striped_images() -> LabelledImages:
    """100 noisy images in which a digit is told by the place of a bright bar: one of five rows, left or right."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 10
    images = torch.randint(0, 60, (100, 28, 28), generator=rng, dtype=torch.uint8)
    for image, digit in zip(images, labels.tolist(), strict=True):
        top, left = 3 + 5 * (digit % 5), 3 + 12 * (digit // 5)
        image[top : top + 2, left : left + 10] = 250
    return LabelledImages(images, labels)


class RecordingTracker:
    """Keeps everything in memory: `metrics`, `timings` and `samples` by step, `events` by name."""

    def __init__(self) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.timings: dict[int, dict[str, float]] = {}
        self.samples: dict[int, np.ndarray] = {}
        self.events: dict[str, str] = {}

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        self.metrics.setdefault(step, {}).update(metrics)

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        self.timings.setdefault(step, {}).update(metrics)

    def log_samples(self, pixels: np.ndarray, *, step: int) -> None:
        self.samples[step] = pixels

    def log_event(self, name: str, text: str) -> None:
        self.events[name] = text

    def rewind(self, step: int) -> None:
        for kept in (self.metrics, self.timings, self.samples):
            for each in [each for each in kept if not is_kept(each, rewound_to=step)]:
                del kept[each]


def batches_of(config: GanConfig, data: LabelledImages, *, device: torch.device = CPU) -> Batches:
    return Batches(data, batch_size=config.train.batch_size, seed=config.train.seed, device=device)


def take_steps(state: GanState, config: GanConfig, data: LabelledImages, count: int = 1) -> dict[str, Tensor]:
    """Steps without the loop, each a function of its number; the last one's measurements."""
    inputs = Inputs(batches_of(config, data, device=state.device), config, end=10**6)
    for _ in range(count):
        torch.manual_seed(state.step)
        measured = gan_step(state, inputs(state.step), config, due=due_at(state.step, config))
        state.step += 1
    return measured


def run(
    config: GanConfig,
    data: LabelledImages,
    *,
    state: GanState | None = None,
    device: torch.device = CPU,
    stop_at: int | None = None,
    **asked: Any,
) -> GanState:
    """A training to its end, or to the step at which it is told to stop; `asked` are arguments of `train`."""
    state = state or build_state(config, device=device)
    asked = {"tracker": RecordingTracker(), "on_checkpoint": lambda _state: None} | asked
    train(state, batches_of(config, data, device=device), config, stop_requested=lambda: state.step == stop_at, **asked)
    return state


def copied(state: GanState, config: GanConfig) -> GanState:
    """A new state made of what a checkpoint of `state` holds."""
    copy = build_state(config, device=state.device)
    copy.load({name: tensor.clone().contiguous() for name, tensor in state.tensors().items()}, state.progress())
    return copy


def differences(one: GanState, other: GanState) -> list[str]:
    """What two states differ in."""
    mine, theirs = ({**state.tensors(), **state.progress()} for state in (one, other))
    assert mine.keys() == theirs.keys()
    return [name for name, value in mine.items() if not _equal(value, theirs[name])]


def bytes_of(network: nn.Module) -> dict[str, bytes]:
    """Weights and buffers, to compare bit for bit."""
    return {name: tensor.cpu().contiguous().numpy().tobytes() for name, tensor in network.state_dict().items()}


def _equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other

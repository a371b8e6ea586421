"""Training of the digit classifier: short, reproducible and resumable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW

from dcgan.checkpoints.tensors import load_named_tensors, named_tensors
from dcgan.classifier.network import NUM_ROTATIONS, Classifier, ClassifierName, build_classifier, rotated
from dcgan.config.schema import IMAGE_SIZE, NUM_CLASSES, ClassifierConfig
from dcgan.data.batches import Batches, mixed_seed
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import DivergedError

WARM_UP = 0.3
"""Share of the steps in which the learning rate rises."""
AUGMENTATION = 0x61756720
"""Keeps the seeds of shifts and dropout apart from those of the shuffles."""


@dataclass
class ClassifierState:
    """Classifier, optimiser and step: everything that the rest of a training depends on besides data and config."""

    classifier: Classifier
    optimizer: AdamW
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name."""
        return named_tensors({"classifier": self.classifier}, {"optimizer": self.optimizer})

    def progress(self) -> dict[str, Any]:
        """The rest of the state, as JSON holds it."""
        return {"step": self.step}

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Become the state that these describe.

        Raises:
            KeyError, RuntimeError, ValueError: a tensor is missing, unexpected or of another shape.
        """
        load_named_tensors({"classifier": self.classifier}, {"optimizer": self.optimizer}, tensors)
        self.step = progress["step"]


def build_classifier_state(
    config: ClassifierConfig,
    *,
    device: torch.device,
    name: ClassifierName = "classifier",
    num_classes: int = NUM_CLASSES,
) -> ClassifierState:
    """The state before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = build_classifier(name, num_classes=num_classes).train()
    # A CPU normalises groups of channels faster where each channel lies together.
    is_contiguous = name == "witness" and device.type == "cpu"
    memory_format = torch.contiguous_format if is_contiguous else torch.channels_last
    classifier.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    return ClassifierState(classifier, AdamW(classifier.parameters(), config.learning_rate, fused=True))


def train_classifier(
    state: ClassifierState,
    data: LabelledImages,
    config: ClassifierConfig,
    *,
    on_step: Callable[[int, int], None] = lambda _step, _end: None,
    on_checkpoint: Callable[[ClassifierState], None] = lambda _state: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Classifier:
    """Train `state` to the last step, or until told to stop; the classifier comes back in evaluation mode.

    Batch, learning rate, shift and dropout are functions of (seed, step): an interrupted training ends in the same
    weights, on an equal device with equal threads. `on_step` gets (steps done, steps in all) after each step,
    `on_checkpoint` the state every `checkpoint_every` steps and when the training stops; `stop_requested` is asked
    before each step. The config's learning rate is the highest of the cycle.

    Raises:
        DivergedError: the loss is not finite when a checkpoint is due.
    """
    device = next(state.classifier.parameters()).device
    batches = Batches(data, batch_size=min(config.batch_size, len(data)), seed=config.seed, device=device)
    end = config.epochs * batches.steps_per_epoch
    loss = torch.zeros(())
    resumed_at = state.step
    state.classifier.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        while True:
            is_last = state.step >= end or stop_requested()
            if state.step > resumed_at and (is_last or state.step % config.checkpoint_every == 0):
                if not torch.isfinite(loss):
                    problem = f"the classifier diverged: its loss is {float(loss.detach())}"
                    raise DivergedError(f"{problem}; lower classifier.learning_rate")
                on_checkpoint(state)
            if is_last:
                return state.classifier.eval()
            torch.manual_seed(mixed_seed(config.seed, AUGMENTATION, state.step))
            state.optimizer.param_groups[0]["lr"] = config.learning_rate * one_cycle(state.step, end=end)
            images, labels = batches.batch(state.step)
            images = shifted(images, config.max_shift)
            if state.classifier.learns_rotations:
                labels = torch.randint(NUM_ROTATIONS, labels.shape).to(device)
                images = rotated(images, labels)
            loss = functional.cross_entropy(state.classifier(images).logits, labels)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            state.step += 1
            on_step(state.step, end)


def trained_classifier(
    data: LabelledImages,
    config: ClassifierConfig,
    *,
    device: torch.device,
    name: ClassifierName = "classifier",
    num_classes: int = NUM_CLASSES,
    on_step: Callable[[int, int], None] = lambda _step, _end: None,
) -> Classifier:
    """A classifier trained on `data` from its first step to its last, in evaluation mode; `on_step` as above."""
    state = build_classifier_state(config, device=device, name=name, num_classes=num_classes)
    return train_classifier(state, data, config, on_step=on_step)


def one_cycle(step: int, *, end: int) -> float:
    """Learning rate of a step as a share of the highest: linear warm-up and decay (Smith 2018, arXiv:1803.09820)."""
    return float(np.interp(step, [0, WARM_UP * end, end], [0.04, 1, 0]))


def shifted(images: Tensor, limit: int) -> Tensor:
    """The whole batch shifted by one random offset of up to `limit` pixels each way; the border is background."""
    down, right = torch.randint(-limit, limit + 1, (2,)).tolist()
    padded = functional.pad(images, (limit,) * 4, value=-1.0)
    return padded[..., limit + down : limit + down + IMAGE_SIZE, limit + right : limit + right + IMAGE_SIZE]

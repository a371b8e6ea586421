"""Training of the digit classifier: short, the same on every run, and resumable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from dcgan.checkpoints.tensors import load_named_tensors, named_tensors
from dcgan.classifier.network import Classifier
from dcgan.config.schema import ClassifierConfig
from dcgan.data.batches import Batches
from dcgan.data.dataset import LabelledImages
from dcgan.system.errors import DivergedError


@dataclass
class ClassifierState:
    """The classifier on its way, with all that the rest of the way depends on."""

    classifier: Classifier
    optimizer: AdamW
    schedule: OneCycleLR
    randomness: Tensor
    """The state of PyTorch's randomness on the CPU, from which shifts are drawn, and there dropout."""
    device_randomness: Tensor
    """The same of the GPU, from which dropout is drawn there; empty without one."""
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a unique name."""
        return {
            "randomness": self.randomness,
            "device_randomness": self.device_randomness,
            **named_tensors({"classifier": self.classifier}, {"optimizer": self.optimizer}),
        }

    def progress(self) -> dict[str, Any]:
        """The rest of the state, as JSON holds it."""
        return {"step": self.step}

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Become the state that these describe.

        Raises:
            KeyError, RuntimeError, ValueError: a tensor is missing, unexpected or of another shape.
        """
        load_named_tensors({"classifier": self.classifier}, {"optimizer": self.optimizer}, tensors)
        self.randomness, self.device_randomness = tensors["randomness"], tensors["device_randomness"]
        self.step = progress["step"]
        if self.step:  # the schedule is a function of the step: one step of its own sets the optimiser's rates
            behind = {"last_epoch": self.step - 1, "_step_count": self.step + 1}
            self.schedule.load_state_dict(self.schedule.state_dict() | behind)
            self.schedule.step()


def build_classifier_state(data: LabelledImages, config: ClassifierConfig, *, device: torch.device) -> ClassifierState:
    """The state before the first step of a training on `data`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifier = Classifier().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimizer = AdamW(classifier.parameters(), config.learning_rate, fused=True)
        end = config.epochs * _batches(data, config, device).steps_per_epoch
        schedule = OneCycleLR(optimizer, config.learning_rate, total_steps=end)
        return ClassifierState(classifier, optimizer, schedule, *_randomness(device))


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

    One cycle of the learning rate (Smith 2018, arXiv:1803.09820), images shifted by up to two pixels. The same on every
    run with equal device and threads, interrupted or not.

    Args:
        state: the state to go on from.
        data: the training split.
        config: `learning_rate` is the highest of the cycle.
        on_step: is told (steps done, steps in all) after each step.
        on_checkpoint: is handed the state every `checkpoint_every` steps, and when the training is stopped.
        stop_requested: asked before each step.

    Raises:
        DivergedError: its loss is not finite when it is saved, or in the end.
    """
    device = next(state.classifier.parameters()).device
    batches = _batches(data, config, device)
    end = config.epochs * batches.steps_per_epoch
    loss = torch.zeros(())
    resumed_at = state.step
    state.classifier.train()
    with torch.random.fork_rng(devices=[]):
        _set_randomness(state, device)
        while True:
            is_last = state.step >= end or stop_requested()
            if state.step > resumed_at and (is_last or state.step % config.checkpoint_every == 0):
                _check(loss)
                state.randomness, state.device_randomness = _randomness(device)
                on_checkpoint(state)
            if is_last:
                return state.classifier.eval()
            images, labels = batches.batch(state.step)
            loss = functional.cross_entropy(state.classifier(_shifted(images)).logits, labels)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            state.schedule.step()
            state.step += 1
            on_step(state.step, end)


def trained_classifier(data: LabelledImages, config: ClassifierConfig, *, device: torch.device) -> Classifier:
    """A classifier trained on `data` from its first step to its last, in evaluation mode."""
    return train_classifier(build_classifier_state(data, config, device=device), data, config)


def _batches(data: LabelledImages, config: ClassifierConfig, device: torch.device) -> Batches:
    return Batches(data, batch_size=min(config.batch_size, len(data)), seed=config.seed, device=device)


def _randomness(device: torch.device) -> tuple[Tensor, Tensor]:
    """What the next random numbers depend on, of the CPU and of the device."""
    of_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.empty(0, dtype=torch.uint8)
    return torch.get_rng_state(), of_device


def _set_randomness(state: ClassifierState, device: torch.device) -> None:
    torch.set_rng_state(state.randomness)
    if device.type == "cuda":
        torch.cuda.set_rng_state(state.device_randomness, device)


def _check(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the classifier diverged: its loss is {float(loss.detach())}; lower classifier.learning_rate"
        )


def _shifted(images: Tensor) -> Tensor:
    """The whole batch shifted by one random offset of up to two pixels each way; the border is background."""
    down, right = (int(offset) for offset in torch.randint(-2, 3, (2,)))
    padded = functional.pad(images, (2, 2, 2, 2), value=-1.0)
    return padded[..., 2 + down : 30 + down, 2 + right : 30 + right]

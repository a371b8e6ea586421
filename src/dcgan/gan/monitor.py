"""What watches a training: the best evaluation, the rule to stop early, and signs of collapse."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dcgan.config.schema import NUM_CLASSES, StopRule
from dcgan.system.errors import DivergedError

MIN_MODE_COVERAGE = 0.5
"""A generator whose samples show a smaller share of the classes has collapsed."""
MIN_SATURATED_STEPS = 200
"""The discriminator always wins at first: where an epoch is shorter, it counts as saturated after so many steps."""


@dataclass
class Monitor:
    """What a training remembers of its evaluations and of the discriminator's accuracy; a checkpoint holds it."""

    best_fcd: float | None = None
    """The least `train/quick_fcd`; None before the first evaluation."""
    best_step: int = 0
    """Where it was found."""
    checks_held: int = 0
    """Evaluations in a row, up to the last one, at which `train.stop_when` held."""
    mode_coverage: int = NUM_CLASSES
    """How many of the classes the last evaluation found."""
    num_classes: int = NUM_CLASSES
    saturation: int | Tensor = 0
    """Steps in a row, up to the last, at which the discriminator classified every image right; on the device."""
    is_collapsed: bool = False
    """Whether the training had collapsed when `new_collapse` was last asked."""

    def note_step(self, measured: Mapping[str, Tensor]) -> None:
        """Count whether the discriminator was right about every image; on the device, without waiting for it."""
        if "discriminator/accuracy" in measured:
            self.saturation = (self.saturation + 1) * (measured["discriminator/accuracy"] == 1)

    def note_evaluation(self, figures: Mapping[str, float], *, step: int, rule: StopRule | None) -> None:
        """Remember the figures of the averaged generator after `step` steps.

        Raises:
            DivergedError: one of them is not finite.
        """
        for key, value in figures.items():
            if not math.isfinite(value):
                raise diverged(key, value, step=step)
        self.mode_coverage = int(figures.get("train/mode_coverage", self.num_classes))
        if rule is not None:
            self.checks_held = self.checks_held + 1 if figures[rule.metric] < rule.below else 0
        if self.best_fcd is None or figures["train/quick_fcd"] < self.best_fcd:
            self.best_fcd, self.best_step = figures["train/quick_fcd"], step

    def wants_to_stop(self, rule: StopRule | None) -> bool:
        """Whether the rule held often enough for training to end."""
        return rule is not None and self.checks_held >= rule.checks

    def collapse(self, *, step: int, steps_per_epoch: int) -> str | None:
        """How the training has collapsed, or None.

        It has if, after the first epoch, the samples show fewer than half of the classes, or if the discriminator was
        right about every image for an epoch of 200 steps or more.
        """
        has_few_modes = step >= steps_per_epoch and self.mode_coverage < MIN_MODE_COVERAGE * self.num_classes
        is_saturated = int(self.saturation) >= max(steps_per_epoch, MIN_SATURATED_STEPS)
        if not (has_few_modes or is_saturated):
            return None
        coverage = f"samples show {self.mode_coverage} of {self.num_classes} digits"
        return f"{coverage}, discriminator right about every image for {int(self.saturation)} steps"

    def new_collapse(self, *, step: int, steps_per_epoch: int) -> str | None:
        """As `collapse`, but None if the training had collapsed at the last call already."""
        collapse, was_collapsed = self.collapse(step=step, steps_per_epoch=steps_per_epoch), self.is_collapsed
        self.is_collapsed = collapse is not None
        return None if was_collapsed else collapse

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them; `Monitor(**fields)` brings them back."""
        return vars(self) | {"saturation": int(self.saturation)}


def diverged(quantity: str, value: object, *, step: int) -> DivergedError:
    """The error that names what left the finite numbers, and when."""
    return DivergedError(
        f"training diverged: {quantity} is {value} at step {step}; lower the learning rates or change train.seed"
    )

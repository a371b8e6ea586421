"""The training loop: maintenance first, then the step, so that the first and the last state are both on record."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcgan.config.schema import NUM_CLASSES, GanConfig, StopRule, TrainConfig
from dcgan.data.batches import Batches, mixed_seed, to_pixels
from dcgan.gan.sampling import GRID_COLUMNS, image_grid, sample_from_seed
from dcgan.gan.state import GanState
from dcgan.gan.step import Measurements, gan_step
from dcgan.gan.tracker import Tracker
from dcgan.system.errors import DivergedError

PREVIEW_SEED = 20
FEWEST_DIGITS = 5
"""A generator that draws fewer of the ten has collapsed."""
FEWEST_STEPS_WON = 200
"""The discriminator always wins at first: where an epoch is shorter, it has to win for so long."""
DROPOUT = 1
"""Keeps dropout's randomness apart from that of batches and latents."""

Judge = Callable[[nn.Module], Mapping[str, float]]
"""The averaged generator → figures by tracker key, `train/quick_fcd` among them."""


def train(
    state: GanState,
    batches: Batches,
    config: GanConfig,
    *,
    tracker: Tracker,
    on_checkpoint: Callable[[GanState], None],
    judge: Judge | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> None:
    """Train `state` in place until the last step, or until told to stop; the step decides all randomness.

    PyTorch's global randomness, which dropout draws from, is seeded anew at every step.

    Args:
        state: the state to go on from; a restored checkpoint ends in the same weights as an uninterrupted run.
        batches: the training set.
        config: `train.precision` must be resolved; `train.seed` is that of everything drawn from here on.
        tracker: is told the averages of every `report_every` steps, and shown a grid of samples when due.
        on_checkpoint: is handed the state every `checkpoint_every` steps, when `judge` finds it the best so far, and
            when the run ends or is stopped.
        judge: looks at the samples every `evaluate_every` steps; without one, `stop_when` does not apply.
        stop_requested: asked before each step.

    Raises:
        DivergedError: a measurement, a judgement or a weight is not finite; it is named with its step, before
            anything is saved.
    """
    end = total_steps(config.train, steps_per_epoch=batches.steps_per_epoch)
    sample_every = config.train.sample_every or batches.steps_per_epoch
    evaluate_every = config.train.evaluate_every or batches.steps_per_epoch
    rng = torch.Generator(state.device)
    window = Window()
    resumed_at = state.step

    while True:
        is_new = state.step > resumed_at or resumed_at == 0

        # Judge
        if judge and is_new and is_due(state.step, evaluate_every, is_last=state.step >= end):
            with window.paused():
                figures = judge(state.generator_ema)
            check_figures(figures, step=state.step)
            tracker.log_metrics(figures, step=state.step)
            take_note(state, figures, config.train.stop_when)
            watch_for_collapse(state, tracker, steps_per_epoch=batches.steps_per_epoch)
        is_last = state.step >= end or is_good_enough(state, config.train.stop_when) or stop_requested()

        # Report
        if window.length and is_due(state.step, config.train.report_every, is_last=is_last):
            speed = {"train/images_per_second": batches.batch_size * window.steps_per_second()}
            tracker.log_metrics(window.means() | rates_of(state), step=state.step)
            tracker.log_timings(speed, step=state.step)
            watch_for_collapse(state, tracker, steps_per_epoch=batches.steps_per_epoch)
            window = Window()

        # Sample
        if is_new and is_due(state.step, sample_every, is_last=is_last):
            tracker.log_samples(preview(state, config), step=state.step)

        # Save
        is_wanted = is_last or state.step == state.best_step
        if is_new and state.step and is_due(state.step, config.train.checkpoint_every, is_last=is_wanted):
            window.means()  # raises if one of them is not finite
            check_weights(state)
            on_checkpoint(state)

        # Stop
        if is_last:
            return

        # Step
        set_learning_rates(state, config.train, end=end)
        rng.manual_seed(mixed_seed(config.train.seed, state.step))
        torch.manual_seed(mixed_seed(config.train.seed, state.step, DROPOUT))
        real, labels = batches.batch(state.step)
        measured = gan_step(state, real, labels, rng=rng, config=config)
        window.add(measured, step=state.step)
        if "discriminator/accuracy" in measured:
            state.steps_won = (state.steps_won + 1) * (measured["discriminator/accuracy"] == 1)


def total_steps(config: TrainConfig, *, steps_per_epoch: int) -> int:
    """The number of steps in the whole run."""
    steps = config.epochs * steps_per_epoch
    return steps if config.max_steps is None else min(steps, config.max_steps)


def is_due(step: int, every: int, *, is_last: bool) -> bool:
    """Whether something done every so many steps, and at the end, is due before this step."""
    return is_last or step % every == 0


def set_learning_rates(state: GanState, config: TrainConfig, *, end: int) -> None:
    """Constant rates at first, then falling linearly to zero at step `end`; half of both for every rollback."""
    decay_steps = end * (1 - config.learning_rate_decay_from)
    factor = min(1.0, (end - state.step) / decay_steps) if decay_steps else 1.0
    factor *= 0.5**state.rollbacks
    for optimizer, rate in (
        (state.generator_optimizer, config.generator_learning_rate),
        (state.discriminator_optimizer, config.discriminator_learning_rate),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def rates_of(state: GanState) -> dict[str, float]:
    """The rates that both optimisers used last, and how often they were halved if they were."""
    rates = {
        "generator/learning_rate": float(state.generator_optimizer.param_groups[0]["lr"]),
        "discriminator/learning_rate": float(state.discriminator_optimizer.param_groups[0]["lr"]),
    }
    return rates | ({"train/rollbacks": float(state.rollbacks)} if state.rollbacks else {})


def preview(state: GanState, config: GanConfig) -> NDArray[np.uint8]:
    """A grid of samples from latents that are the same at every step; one column a digit if conditional."""
    images, _ = sample_from_seed(state.generator_ema, config.model, count=GRID_COLUMNS**2, seed=PREVIEW_SEED)
    return image_grid(to_pixels(images), columns=GRID_COLUMNS)


def take_note(state: GanState, figures: Mapping[str, float], rule: StopRule | None) -> None:
    """Let the state remember a judgement."""
    state.mode_coverage = int(figures.get("train/mode_coverage", NUM_CLASSES))
    if rule is not None:
        state.checks_held = state.checks_held + 1 if figures[rule.metric] < rule.below else 0
    if figures["train/quick_fcd"] < state.best_fcd:
        state.best_fcd, state.best_step = figures["train/quick_fcd"], state.step


def is_good_enough(state: GanState, rule: StopRule | None) -> bool:
    """Whether the rule has held often enough for training to end."""
    return rule is not None and state.checks_held >= rule.checks


def check_figures(figures: Mapping[str, float], *, step: int) -> None:
    """Raise DivergedError if a figure is not finite."""
    for key, value in figures.items():
        if not math.isfinite(value):
            raise diverged(key, value, step=step)


def check_weights(state: GanState) -> None:
    """Raise DivergedError if a weight of either player is not finite."""
    for player, network in (("generator", state.generator), ("discriminator", state.discriminator)):
        for name, weight in network.named_parameters():
            if not torch.isfinite(weight).all():
                raise diverged(f"the weight {player}/{name}", "not finite", step=state.step)


def diverged(quantity: str, value: object, *, step: int) -> DivergedError:
    """The error that names what left the finite numbers, and when."""
    return DivergedError(
        f"training diverged: {quantity} is {value} at step {step}; lower the learning rates or change train.seed"
    )


def watch_for_collapse(state: GanState, tracker: Tracker, *, steps_per_epoch: int) -> None:
    """Let the state remember whether one player has lost the game, and warn when that begins.

    It has if, after the first epoch, the samples show fewer than five digits, or if the discriminator told every image
    rightly for an epoch of 200 steps or more.
    """
    draws_little = state.step >= steps_per_epoch and state.mode_coverage < FEWEST_DIGITS
    is_collapsed = draws_little or int(state.steps_won) >= max(steps_per_epoch, FEWEST_STEPS_WON)
    if is_collapsed and not state.is_collapsed:
        tracker.log_event("collapse", f"at step {state.step}: {state.score}; a model that ends so fails the gate")
    state.is_collapsed = is_collapsed


class Window:
    """The measurements since the last report; they stay on the device until someone asks."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._steps: dict[str, list[int]] = defaultdict(list)
        self._opened = time.perf_counter()
        self.length = 0

    def add(self, measurements: Measurements, *, step: int) -> None:
        """Add what the given step measured."""
        for key, value in measurements.items():
            self._values[key].append(value)
            self._steps[key].append(step)
        self.length += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the time in this block not count."""
        started = time.perf_counter()
        yield
        self._opened += time.perf_counter() - started

    def steps_per_second(self) -> float:
        """How fast the window filled."""
        return self.length / (time.perf_counter() - self._opened)

    def means(self) -> dict[str, float]:
        """The mean of every quantity.

        Raises:
            DivergedError: a measurement is not finite; the first one is named with its step.
        """
        values = {key: torch.stack(tensors).cpu() for key, tensors in self._values.items()}
        failures = [
            (self._steps[key][index], key, float(row[index]))
            for key, row in values.items()
            for index in (~torch.isfinite(row)).nonzero()[:1, 0].tolist()
        ]
        if failures:
            step, key, value = min(failures)
            raise diverged(key, value, step=step)
        return {key: float(row.mean()) for key, row in values.items()}

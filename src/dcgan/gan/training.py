"""The training loop: maintenance first, then the step, so that the first and the last state are both on record."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan.config.schema import GanConfig, TrainConfig
from dcgan.data.batches import Batches, mixed_seed, to_pixels
from dcgan.gan.graph import GraphedStep, fastest_step
from dcgan.gan.inputs import Inputs
from dcgan.gan.monitor import diverged
from dcgan.gan.parallel import any_requests, from_first, rank
from dcgan.gan.sampling import GRID_COLUMNS, Samples, image_grid, sample_from_seed
from dcgan.gan.state import GanState
from dcgan.gan.step import due_at
from dcgan.gan.tracker import Tracker
from dcgan.gan.window import Window

PREVIEW_SEED = 20
DROPOUT = 1
"""Keeps dropout's randomness apart from that of batches and latents."""

Evaluate = Callable[[Callable[..., Samples]], Mapping[str, float]]
"""What draws images (count=N, seed=S) → figures by tracker key, `train/quick_fcd` among them; QuickFcd is one."""


def train(
    state: GanState,
    batches: Batches,
    config: GanConfig,
    *,
    tracker: Tracker,
    on_checkpoint: Callable[[GanState], None],
    evaluate: Evaluate | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> None:
    """Train `state` in place until the last step, or until a stop is requested.

    All randomness is a function of seed and step: where dropout draws from PyTorch's own, it is seeded at every step.

    Args:
        state: the state to go on from; a restored checkpoint ends in the same weights as an uninterrupted run.
        batches: the training set.
        config: `train.precision` must be resolved; `train.seed` is that of everything drawn from here on.
        tracker: gets the averages of every `report_every` steps, and a grid of samples when due.
        on_checkpoint: gets the state every `checkpoint_every` steps, when `evaluate` finds it the best so far,
            and when the run ends or is stopped.
        evaluate: is called every `evaluate_every` steps; without it, `stop_when` does not apply.
        stop_requested: is asked before each step.

    Raises:
        DivergedError: a measurement, a figure of the evaluation or a weight is not finite; it is named with its step,
            before anything is saved.
    """
    settings, epoch, monitor = config.train, batches.steps_per_epoch, state.monitor
    end = total_steps(settings, steps_per_epoch=epoch)
    inputs = Inputs(batches, config, end=end, rollbacks=state.rollbacks)
    step = fastest_step(config, on_failure=partial(_tell_of_failure, tracker))
    window = Window(state.device)
    resumed_at = state.step

    while True:
        is_new = state.step > resumed_at or resumed_at == 0

        # Evaluate
        if evaluate and is_new and is_due(state.step, settings.evaluate_every or epoch, is_last=state.step >= end):
            with window.paused():
                generate = partial(sample_from_seed, state.generator_ema, config.model)
                figures = from_first(partial(evaluate, generate))
                monitor.note_evaluation(figures, step=state.step, rule=settings.stop_when)
                tracker.log_metrics(figures, step=state.step)
        is_asked = is_due(state.step, settings.report_every, is_last=False)
        is_stopped = any_requests(stop_requested, device=state.device, is_asked=is_asked)
        is_last = state.step >= end or monitor.wants_to_stop(settings.stop_when) or is_stopped

        # Report
        if window.length and is_due(state.step, settings.report_every, is_last=is_last):
            speed = batches.batch_size * window.steps_per_second()
            tracker.log_metrics(window.means() | rates_of(state), step=state.step)
            replays = {"train/graph_replays": float(step.replays)} if isinstance(step, GraphedStep) else {}
            tracker.log_timings({"train/images_per_second": speed} | replays, step=state.step)
            if collapse := monitor.new_collapse(step=state.step, steps_per_epoch=epoch):
                tracker.log_event(
                    "collapse", f"at step {state.step}: {collapse}; a model that ends like this fails a gate"
                )
            window = Window(state.device)

        # Sample
        if is_new and is_due(state.step, settings.sample_every or epoch, is_last=is_last):
            with window.paused():
                tracker.log_samples(preview(state, config), step=state.step)

        # Save
        is_wanted = is_last or state.step == monitor.best_step
        if is_new and state.step and is_due(state.step, settings.checkpoint_every, is_last=is_wanted):
            with window.paused():
                window.require_finite()
                check_weights(state)
                on_checkpoint(state)

        # Stop
        if is_last:
            return

        # Step
        if config.model.discriminator_dropout:
            torch.manual_seed(mixed_seed(settings.seed, state.step, DROPOUT, rank()))
        measured = step(state, inputs(state.step), config, due=due_at(state.step, config))
        state.step += 1
        window.add(measured, step=state.step)
        monitor.note_step(measured)


def total_steps(config: TrainConfig, *, steps_per_epoch: int) -> int:
    """The number of steps in the whole run."""
    steps = config.epochs * steps_per_epoch
    return steps if config.max_steps is None else min(steps, config.max_steps)


def is_due(step: int, every: int, *, is_last: bool) -> bool:
    """Whether something done every so many steps, and at the end, is due before this step."""
    return is_last or step % every == 0


def _tell_of_failure(tracker: Tracker, cause: str) -> None:
    tracker.log_event("cuda-graph", f"no CUDA graph could be recorded ({cause}); training goes on, more slowly")


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


def check_weights(state: GanState) -> None:
    """Raise DivergedError if a weight of either player is not finite."""
    for player, network in (("generator", state.generator), ("discriminator", state.discriminator)):
        for name, weight in network.named_parameters():
            if not torch.isfinite(weight).all():
                raise diverged(f"the weight {player}/{name}", "not finite", step=state.step)

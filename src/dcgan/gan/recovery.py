"""Training that survives its own divergence: back to the newest checkpoint, and on with half the learning rates."""

from collections.abc import Callable

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.config.schema import GanConfig
from dcgan.data.batches import Batches
from dcgan.gan.state import GanState
from dcgan.gan.tracker import Tracker
from dcgan.gan.training import Evaluate, train
from dcgan.gan.warm_start import build_start
from dcgan.system.errors import DivergedError


def train_with_rollbacks(
    state: GanState,
    batches: Batches,
    config: GanConfig,
    *,
    checkpoints: CheckpointFolder,
    tracker: Tracker,
    evaluate: Evaluate | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> GanState:
    """Train as `train` does, saving to `checkpoints`; where that diverges, go back at most `train.max_rollbacks` times.

    Returns:
        The state at the end.

    Raises:
        DivergedError: once too often.
    """
    while True:
        try:
            train(
                state, batches, config, tracker=tracker, on_checkpoint=checkpoints.save, evaluate=evaluate,
                stop_requested=stop_requested,
            )  # fmt: skip
        except DivergedError as error:
            if state.rollbacks >= config.train.max_rollbacks:
                best = state.monitor.best_step
                kept = f"; its checkpoints are kept, the best of step {best}" if best else ""
                raise DivergedError(f"{error} (after {state.rollbacks} rollbacks{kept})") from error
            state = _roll_back(state, config, checkpoints=checkpoints, tracker=tracker, cause=error)
        else:
            return state


def _roll_back(
    diverged: GanState, config: GanConfig, *, checkpoints: CheckpointFolder, tracker: Tracker, cause: DivergedError
) -> GanState:
    """The state of the newest checkpoint, with half the rates from here on.

    It is saved as a checkpoint of its own at once, so that a run that is killed goes on with these rates, and it is in
    the history: `train/rollbacks` and `train/diverged_at` at the step that it went back to.
    """
    state = checkpoints.restore(build_start(config, device=diverged.device))
    state.rollbacks = diverged.rollbacks + 1
    checkpoints.save(state)
    tracker.rewind(state.step)
    figures = {"train/rollbacks": float(state.rollbacks), "train/diverged_at": float(diverged.step)}
    tracker.log_metrics(figures, step=state.step)
    rates = f"{0.5**state.rollbacks} of the learning rates"
    tracker.log_event(
        f"rollback-{state.rollbacks}",
        f"{cause}; went back from step {diverged.step} to {state.step} and continues with {rates}",
    )
    return state

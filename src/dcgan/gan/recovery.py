"""Training that survives its own divergence: back to the newest checkpoint, and on with half the learning rates."""

from collections.abc import Callable

from dcgan.checkpoints.tensors import Checkpoints
from dcgan.config.schema import GanConfig
from dcgan.data.batches import Batches
from dcgan.gan.state import GanState, build_state
from dcgan.gan.tracker import Tracker
from dcgan.gan.training import Judge, train
from dcgan.system.errors import DivergedError


def train_with_rollbacks(
    state: GanState,
    batches: Batches,
    config: GanConfig,
    *,
    checkpoints: Checkpoints,
    tracker: Tracker,
    judge: Judge | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> GanState:
    """Train as `train` does; where that diverges, go back at most `train.max_rollbacks` times.

    A rollback is saved as a checkpoint of its own at once, so that a run that is killed goes on with the rates that it
    had. Its record is in the history: `train/rollbacks` and `train/diverged_at` at the step that it went back to.

    Args:
        state: the state to go on from.
        batches: as for `train`.
        config: as for `train`.
        checkpoints: where the state is saved, and where it comes back from.
        tracker: as for `train`.
        judge: as for `train`.
        stop_requested: as for `train`.

    Returns:
        The state at the end.

    Raises:
        DivergedError: once too often.
    """
    while True:
        try:
            train(
                state,
                batches,
                config,
                tracker=tracker,
                on_checkpoint=checkpoints.save,
                judge=judge,
                stop_requested=stop_requested,
            )
        except DivergedError as error:
            if state.rollbacks >= config.train.max_rollbacks:
                raise _for_good(state, error) from error
            diverged, state = state, checkpoints.restore(build_state(config, device=state.device))
            state.rollbacks = diverged.rollbacks + 1
            checkpoints.save(state)
            _record(state, diverged, tracker=tracker, cause=error)
        else:
            return state


def _record(state: GanState, diverged: GanState, *, tracker: Tracker, cause: DivergedError) -> None:
    """Put on record that training goes on from `state` after it diverged."""
    tracker.rewind(state.step)
    figures = {"train/rollbacks": float(state.rollbacks), "train/diverged_at": float(diverged.step)}
    tracker.log_metrics(figures, step=state.step)
    tracker.log_event(
        f"rollback-{state.rollbacks}",
        f"{cause}; went back from step {diverged.step} to {state.step}, on with {0.5**state.rollbacks} of the rates",
    )


def _for_good(state: GanState, error: DivergedError) -> DivergedError:
    kept = f"; its checkpoints are kept, the best of step {state.best_step}" if state.best_step else ""
    return DivergedError(f"{error} (after {state.rollbacks} rollbacks{kept})")

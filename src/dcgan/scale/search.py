"""The search of a sweep: Ray Tune runs the trials, Optuna's sampler proposes them, ASHA ends those that fall behind."""

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler

from dcgan.config.schema import TrainConfig
from dcgan.scale.sweep_folder import Sweep
from dcgan.scale.trial import IMAGES, SCORE, run_trial
from dcgan.scale.trial_callback import TrialCallback
from dcgan.system.errors import BadDataError
from dcgan.system.signals import StopRequest
from dcgan.tracking.provenance import validated_dataset

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

REDUCTION = 3
"""Of the trials that come to a rung, the best of so many go on."""
RUNGS = 2
"""They are at a ninth and at a third of the longest training."""
BEFORE_THE_END = 0.99
"""Of the longest training: a trial that comes further is left to end by itself."""
MAX_FAILURES = 3
"""Workers of a trial that may be killed before it counts as failed."""
RAY = "ray"
"""The folder of Ray Tune's own state."""
SECONDS_BETWEEN_LOOKS = 0.5
STOP_SECONDS = 10.0
"""That Ray Tune may take to save and end; it does so within a second or two."""


def search(sweep: Sweep, *, stop: StopRequest) -> None:
    """Run the trials that a sweep lacks; returns earlier if a stop is requested.

    Raises:
        BadDataError: Ray's record of the search is damaged.
    """
    with warnings.catch_warnings(), _passed_on(stop):
        warnings.simplefilter("ignore")  # of Ray's and Optuna's own plans; repeated reports after a resume
        _tuner(sweep).fit()


def _tuner(sweep: Sweep) -> tune.Tuner:
    """A new search, or the one that was begun."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    resources = {"cpu": sweep.options.cpus_per_trial, "gpu": sweep.options.gpus_per_trial}
    trainable = tune.with_resources(partial(run_trial, workspace_path=str(Path.cwd()), name=sweep.name), resources)
    state = Path.cwd() / sweep.folder / RAY
    if tune.Tuner.can_restore(str(state)):
        try:
            return tune.Tuner.restore(str(state), trainable)
        except (ValueError, OSError, EOFError, LookupError) as error:
            raise BadDataError(
                f"{sweep.folder / RAY}: Ray cannot go on with it ({error}); take another --name"
            ) from error
    start = sweep.space.values_of(sweep.params)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="min",
            num_samples=sweep.options.trials,
            search_alg=OptunaSearch(
                space=sweep.space.distributions,
                metric=SCORE,
                mode="min",
                points_to_evaluate=[dict(start)] if start else None,
                sampler=_sampler(sweep),
            ),
            scheduler=LastingAsha(sweep.folder / "asha", longest=longest_training(sweep)),
        ),
        run_config=tune.RunConfig(
            name=RAY,
            storage_path=str(state.parent),
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[TrialCallback(sweep.name)],
            verbose=0,
        ),
    )


def _sampler(sweep: Sweep) -> "BaseSampler":
    """Tree-structured Parzen estimators, after a third of the trials were drawn at random."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=sweep.options.seed, n_startup_trials=max(2, min(10, sweep.options.trials // 3)))


def longest_training(sweep: Sweep) -> int:
    """The most images that a trial of the sweep can see."""
    return max(_images_in(sweep.params_of(values).train) for values in sweep.space.combinations())


def _images_in(train: TrainConfig) -> int:
    steps = train.epochs * (int(validated_dataset()["images"]) // train.batch_size)
    return train.batch_size * (steps if train.max_steps is None else min(steps, train.max_steps))


class LastingAsha(AsyncHyperBandScheduler):
    """ASHA that keeps, in a file, how good trials were at its rungs: Ray Tune forgets it when a driver is killed."""

    def __init__(self, path: Path, *, longest: int) -> None:
        """Compare trials after a ninth and a third of the images of the longest training.

        Args:
            path: the file.
            longest: the images of the longest training.
        """
        super().__init__(
            time_attr=IMAGES, max_t=int(BEFORE_THE_END * longest), grace_period=longest // REDUCTION**RUNGS,
            reduction_factor=REDUCTION, stop_last_trials=False,
        )  # fmt: skip
        self._path, self._is_restored = path, False

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take up what the file holds before the first trial."""
        if not self._is_restored and self._path.is_file():
            self.restore(str(self._path))
        self._is_restored = True
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Decide, and write down what was decided on."""
        decision = str(super().on_trial_result(tune_controller, trial, result))
        temporary = self._path.with_suffix(".tmp")
        self.save(str(temporary))
        temporary.replace(self._path)
        return decision


@contextmanager
def _passed_on(stop: StopRequest) -> Iterator[None]:
    """Within the block, Ray Tune saves and ends once a stop is requested: it listens to SIGUSR1.

    It cannot if the stop was sent to Ray's processes as well, as batch systems and `timeout` do; then this process
    ends where it is. What is needed to go on is on disk at any time.
    """
    is_over, before = Event(), signal.getsignal(signal.SIGUSR1)

    def watch() -> None:
        waited = 0.0
        while not is_over.wait(SECONDS_BETWEEN_LOOKS):
            if stop():
                waited += SECONDS_BETWEEN_LOOKS
                if signal.getsignal(signal.SIGUSR1) is not before:  # else it would end this process at once
                    os.kill(os.getpid(), signal.SIGUSR1)
            if waited > STOP_SECONDS:
                os.write(2, b"error: sweep: stopped and saved; run the same command again to go on\n")
                os._exit(128 + (stop.signal_number or signal.SIGTERM))

    watcher = Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()

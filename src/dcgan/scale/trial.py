"""One training of a sweep, in a worker: it reports each quick evaluation, and goes on from its checkpoint if killed."""

import math
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import load_classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.config import workspace
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.schema import Params, TrainConfig
from dcgan.data.batches import Batches
from dcgan.data.dataset_file import load_dataset
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.tracker import TeeTracker
from dcgan.gan.warm_start import build_start
from dcgan.scale.outcome import Outcome, load_outcome, training_in
from dcgan.scale.scores import Scores, read_scores
from dcgan.scale.sweep_folder import Sweep, digests_of_inputs, load_sweep
from dcgan.system.errors import BadDataError, DivergedError, UnavailableError, UsageError
from dcgan.system.files import sha256_of
from dcgan.system.locks import exclusive
from dcgan.system.memory import is_out_of_memory
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.provenance import describe_training

ROOMS = ("config", "data", "classifier", "gan")
SCORE, IMAGES = "fcd_over_floor", "images"
"""What a trial reports: the quick fcd as a multiple of its floor, and the images that it has seen by then."""
TAKEOVER_SECONDS = 60.0
"""How long a worker waits until one before it, which Ray takes for dead, has left the trial."""

Report = Callable[[Mapping[str, float]], object]
"""Gets SCORE and IMAGES at every evaluation; what was reported before a kill comes again."""


def run_trial(values: Mapping[str, object], *, workspace_path: str, name: str) -> None:
    """Train one trial of the sweep `name`; Ray Tune calls this in a worker, and again if that was killed."""
    from ray import tune

    def report(figures: Mapping[str, float]) -> None:
        tune.report(dict(figures))

    sweep = enter(workspace_path, name)
    params = sweep.params_of(sweep.space.rounded(values))  # type: ignore[arg-type]
    outcome = train_to_its_end(sweep, params, sweep.trial_folder(str(tune.get_context().get_trial_id())), report=report)
    if outcome.kind == "failed":
        report({SCORE: math.inf})  # no error to Ray, which would try the same again


def run_repeat(seed: int, values: Mapping[str, object], *, workspace_path: str, name: str) -> None:
    """Train the values of the best trial with another seed, as a task of Ray's."""
    sweep = enter(workspace_path, name)
    params = sweep.params_of({**values, "train.seed": seed})  # type: ignore[dict-item]
    train_to_its_end(sweep, params, sweep.repeat_folder(seed), report=lambda _figures: None)


def enter(workspace_path: str, name: str) -> Sweep:
    """Make the workspace the worker's current folder; the sweep in it.

    Raises:
        UnavailableError: this machine does not have it.
    """
    if not Path(workspace_path, workspace.DATASET).is_file():
        raise UnavailableError(
            f"{workspace_path}: {socket.gethostname()} has no {workspace.DATASET} there; put the workspace on a file"
            " system that all machines of the cluster share, under the same path"
        )
    os.chdir(workspace_path)
    return load_sweep(name)


def train_to_its_end(sweep: Sweep, params: Params, folder: Path, *, report: Report) -> Outcome:
    """Train with `params`, from the newest checkpoint in `folder` if there is one, and leave the outcome there.

    A divergence, a refused value, damaged data or too little memory are outcomes: another attempt would end the same.
    Everything else is raised, for Ray to try again.
    """
    with exclusive(folder / "lock", wait_seconds=TAKEOVER_SECONDS):
        if (outcome := load_outcome(folder)) is None:
            try:
                outcome = _train(sweep, params, folder, report=report)
            except (UsageError, BadDataError, DivergedError) as error:
                outcome = Outcome(kind="failed", message=str(error))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                outcome = Outcome(kind="failed", message=f"not enough memory: {error}")
            outcome.save(folder)
        elif outcome.kind != "failed":  # Ray's record of it is older
            _report_again(training_in(folder), params.train, report)
        return outcome


def _train(sweep: Sweep, params: Params, folder: Path, *, report: Report) -> Outcome:
    """The stage `train` on the parameters of a trial, reporting; raises what that raises."""
    if changed := [path for path, sha256 in digests_of_inputs().items() if sweep.inputs[path] != sha256]:
        raise BadDataError(f"{changed[0]}: changed since the sweep {sweep.name} began; take another --name")
    device = prepare_device(params.train)
    config = resolve(params.gan, device)
    data = load_dataset(model=params.model)
    evaluate = QuickFcd(load_classifier(workspace.CLASSIFIER, device=device, num_classes=data.num_classes), data.train)
    batches = Batches(data.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    inputs = workspace.training_inputs(config.train)
    fingerprint = fingerprint_of("sweep", config, inputs, rooms=ROOMS, device=device)
    checkpoints = CheckpointFolder(folder, fingerprint)
    for other in folder.glob("*/"):  # of other code, or on another kind of machine: it cannot go on
        if other.is_dir() and other != checkpoints.path:
            shutil.rmtree(other)
    state = checkpoints.restore(build_start(config, device=device))
    describe_training(checkpoints.path, params=params, config=config)
    with JsonlTracker(checkpoints.path, resume_from_step=state.step) as history:
        _report_again(checkpoints.path, config.train, report)
        tracker = TeeTracker(history, Reporter(config.train, checkpoints.path, report))
        state = train_with_rollbacks(
            state, batches, config, checkpoints=checkpoints, tracker=tracker, evaluate=evaluate
        )
    checkpoints.choose(state, config.train.keep)
    save_weights(folder, generator=state.generator_ema)
    return Outcome(kind="finished", generator_sha256=sha256_of(folder / "generator.safetensors"))


def _report_again(training: Path, config: TrainConfig, report: Report) -> None:
    """Report what a training's history holds: a driver that was killed may not have heard the last of it."""
    for score in read_scores(training, config):
        report({SCORE: score.fcd_over_floor, IMAGES: score.images})


class Reporter:
    """The tracker that reports each quick evaluation."""

    def __init__(self, config: TrainConfig, training: Path, report: Report) -> None:
        """Take up the history of a training."""
        self._config, self._training, self._report = config, training, report
        self._scores = Scores(config, read_scores(training, config))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Report the evaluation among the metrics, if there is one; may not return, if the scheduler ends the trial."""
        if score := self._scores.add(metrics, step=step):
            self._report({SCORE: score.fcd_over_floor, IMAGES: score.images})

    def log_timings(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Report nothing."""

    def log_samples(self, pixels: NDArray[np.uint8], *, step: int) -> None:
        """Report nothing."""

    def log_event(self, name: str, text: str) -> None:
        """Report nothing."""

    def rewind(self, step: int) -> None:  # noqa: ARG002 the protocol's
        """Go back to the history, which has gone back before."""
        self._scores = Scores(self._config, read_scores(self._training, self._config))

"""The callback of a search: keeps the record of each trial in the sweep's folder, and tells how it goes."""

import shutil
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from dcgan.checkpoints.file import checkpoints_in
from dcgan.scale.outcome import Outcome, load_outcome, training_in
from dcgan.scale.results import TrialRecord, best_of, read_trials
from dcgan.scale.sweep_folder import TRIAL, Sweep, load_sweep
from dcgan.system.files import write_json
from dcgan.system.progress import ProgressLines


class TrialCallback(Callback):
    """Numbers the trials and notes how they end; Ray keeps it with its state, so it holds nothing but a name."""

    def __init__(self, name: str) -> None:
        """Tell of the sweep of that name, in the current folder."""
        self._name = name

    def setup(self, *_arguments: Any, **_info: Any) -> None:
        """Begin, or go on."""
        self._sweep: Sweep = load_sweep(self._name)
        self._is_first_step = True
        self._progress = ProgressLines("sweep", end=self._sweep.options.trials, unit="trials ended:")

    def on_step_begin(self, iteration: int, trials: Sequence[Trial], **_info: Any) -> None:  # noqa: ARG002 Ray's
        """Drop the trials that Ray, killed before it saved, does not remember: it will propose others."""
        if self._is_first_step:
            known = {trial.trial_id for trial in trials}
            for folder in self._sweep.trial_folder("").glob("*/"):
                if folder.name not in known:
                    shutil.rmtree(folder)
        self._is_first_step = False

    def on_step_end(self, iteration: int, trials: Sequence[Trial], **_info: Any) -> None:  # noqa: ARG002 Ray's
        """Tell, every half minute, how many have ended."""
        self._progress.advance_to(sum(trial.status in (Trial.TERMINATED, Trial.ERROR) for trial in trials))

    def on_trial_start(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002
        """Number a trial that is new, and tell what it tries."""
        folder = self._sweep.trial_folder(trial.trial_id)
        if (folder / TRIAL).is_file():
            return
        values = self._sweep.space.rounded(trial.config)
        number = 1 + [each.trial_id for each in trials].index(trial.trial_id)
        write_json(folder / TRIAL, {"number": number, "values": dict(values)})
        print(f"trial {number} of {self._sweep.options.trials}: {shown(values)}", flush=True)

    def on_trial_complete(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002
        """Note that the scheduler ended it, unless it ended by itself."""
        self._note_end(trial, Outcome(kind="stopped"))

    def on_trial_error(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_info: Any) -> None:  # noqa: ARG002
        """Note that its worker died too often."""
        lines = str(trial.get_error() or "its worker died").strip().splitlines()
        self._note_end(trial, Outcome(kind="failed", message=lines[-1]))

    def _note_end(self, trial: Trial, outcome: Outcome) -> None:
        folder = self._sweep.trial_folder(trial.trial_id)
        if load_outcome(folder) is None:
            outcome.save(folder)
        for checkpoint in checkpoints_in(training_in(folder)):
            checkpoint.unlink()
        records = read_trials(self._sweep)
        (record,) = (each for each in records if each.id == trial.trial_id)
        print(f"trial {record.number}: {record.summary}{_is_best(record, records)}", flush=True)


def _is_best(record: TrialRecord, records: Sequence[TrialRecord]) -> str:
    return ", the best so far" if best_of(records) == record else ""


def shown(values: Any) -> str:
    """Values in one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())

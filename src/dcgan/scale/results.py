"""What came of a sweep: the record of each trial, the best, and the best with other seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcgan.config.schema import Params
from dcgan.scale.outcome import Outcome, load_outcome, training_in
from dcgan.scale.scores import Score, read_scores
from dcgan.scale.space import Values
from dcgan.scale.sweep_folder import TRIAL, Sweep, read_record
from dcgan.system.errors import DivergedError

SEED = "train.seed"


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial of a sweep, or its best with another seed."""

    id: str
    number: int
    """From 1; of a repeat, its seed."""
    values: Values
    params: Params
    training: Path
    """Where its training keeps its history."""
    scores: Sequence[Score]
    outcome: Outcome | None
    """None: it has not ended."""

    @property
    def result(self) -> float | None:
        """The last quick fcd over its floor; None if it failed, or was not evaluated yet."""
        is_failed = self.outcome is not None and self.outcome.kind == "failed"
        return None if is_failed or not self.scores else self.scores[-1].fcd_over_floor

    @property
    def images(self) -> int:
        """That it had seen at its last evaluation."""
        return self.scores[-1].images if self.scores else 0

    @property
    def summary(self) -> str:
        """How it is, or how it ended, in one line."""
        if self.outcome is not None and self.outcome.kind == "failed":
            return f"failed: {self.outcome.message}"
        if self.result is None:
            return "begun"
        end = self.outcome.kind if self.outcome else "at work"
        return f"{end} after {self.images:,} images, quick fcd {self.result:.2f} times its floor"


def read_trials(sweep: Sweep) -> list[TrialRecord]:
    """The trials of a sweep that have begun, by their number.

    Raises:
        BadDataError: a record is damaged.
    """
    return _read(sweep, sweep.trial_folder(""))


def read_repeats(sweep: Sweep, best: TrialRecord | None) -> list[TrialRecord]:
    """The trainings of the best trial's values with other seeds, by their seed; raises as `read_trials`."""
    repeats = _read(sweep, sweep.repeat_folder(0).parent)
    return [each for each in repeats if best and each.values == {**best.values, SEED: each.number}]


def _read(sweep: Sweep, parent: Path) -> list[TrialRecord]:
    records = []
    for path in parent.glob(f"*/{TRIAL}"):
        about, folder = read_record(path), path.parent
        params, training = sweep.params_of(about["values"]), training_in(folder)
        records.append(
            TrialRecord(
                id=folder.name,
                number=about["number"],
                values=about["values"],
                params=params,
                training=training,
                scores=read_scores(training, params.train),
                outcome=load_outcome(folder),
            )
        )
    return sorted(records, key=lambda record: record.number)


def best_of(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The best of the trials that came to their end; if none did, of those that came furthest; None if all failed."""
    ended = [trial for trial in trials if trial.outcome and trial.result is not None]
    return min(ended, key=_rank, default=None)


def require_best(sweep: Sweep) -> TrialRecord:
    """The best trial; DivergedError if all have failed."""
    trials = read_trials(sweep)
    if best := best_of(trials):
        return best
    reason = next((trial.outcome.message for trial in trials if trial.outcome), "none has begun")
    raise DivergedError(f"sweep {sweep.name}: all {len(trials)} trials failed; the first: {reason}")


def _rank(trial: TrialRecord) -> tuple[bool, int, float]:
    is_finished = trial.outcome is not None and trial.outcome.kind == "finished"
    return not is_finished, 0 if is_finished else -trial.images, trial.result or 0.0


def missing_repeats(sweep: Sweep, best: TrialRecord, *, count: int) -> list[int]:
    """The seeds, those after the trials' own, with which the best has not been trained to its end."""
    seeds = range(best.params.train.seed + 1, best.params.train.seed + 1 + count)
    ended = {each.number for each in read_repeats(sweep, best) if each.outcome}
    return [seed for seed in seeds if seed not in ended]


def spread_of(repeats: Sequence[TrialRecord]) -> tuple[float, float]:
    """The mean and the standard deviation of at least one result over its seeds; of one, the deviation is 0."""
    results = [repeat.result for repeat in repeats if repeat.result is not None]
    return statistics.mean(results), statistics.stdev(results) if len(results) > 1 else 0.0
